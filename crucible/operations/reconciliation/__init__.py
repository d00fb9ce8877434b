"""One account kept three times (venue, journal, ledger), compared to the last unit, and the report of a run.

Entry points: `accounts.differences`, `report.make_report`. Nothing here changes what it reads.
"""
