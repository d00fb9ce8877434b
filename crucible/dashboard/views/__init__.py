"""What each view of the page shows: pure functions of a ledger, its sums and the state of the system.

Every number is exact text, as the ledger has it; how it is written for people is the page's own business.
"""
