"""Candles, the data lake, the exchange's history and simulated markets.

Nothing here knows of features, strategies or orders.
"""
