"""The wire to Cerebellum: messages and the link that carries them.

Nothing here decides what to trade.
"""
