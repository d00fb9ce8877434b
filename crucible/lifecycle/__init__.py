"""The life of a version: admission, publishing, seats, turns at the forge, incumbents, and what decides it.

Nothing here imports an orchestrator; flows and the walk-forward call it alike.
"""
