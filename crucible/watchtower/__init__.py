"""The Watchtower: scores agents from the ledger and pronounces verdicts.

Nothing here trades or forges; a verdict is a value that a flow carries out.
"""
