"""The Strategy contract, its two kinds, and reading one from its file.

Nothing here evolves, sizes or judges a strategy, or talks to a server.
"""
