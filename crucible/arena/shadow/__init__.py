"""Simulated books beside those at the venue, and the placebos that check the Watchtower's error rates.

Nothing here sends an order, and nothing here decides for an agent that the registry wants traded.
"""
