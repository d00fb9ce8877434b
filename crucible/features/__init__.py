"""Features: one compiled path for history and for the live row.

Nothing here reads the wall clock, a socket or a model registry.
"""
