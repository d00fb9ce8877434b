"""The Strategy contract, its two kinds, and the registry that keeps their versions.

Nothing here evolves, sizes or judges a strategy.
"""
