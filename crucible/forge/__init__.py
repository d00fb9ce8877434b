"""The Forge: evolve strategies, test them honestly, report what was found.

Nothing here talks to a server; flows and the command line carry its results.
"""
