"""Crucible: a factory of trading strategies.

The library lives here. It imports no orchestrator, so that every room runs in a test, a notebook or
another scheduler; Prefect flows live in ``flows/``.
"""

__version__ = "0.1.0"
