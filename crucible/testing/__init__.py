"""Hypothesis strategies and small generators, public so that users can test with them.

Nothing in the product imports this package.
"""
