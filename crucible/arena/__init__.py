"""The Arena: independent agents that trade one model version each, and the ledger of what they did.

Nothing here evolves or judges; orders leave only through `crucible.execution`.
"""
