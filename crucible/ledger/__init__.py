"""The ledger: every fill, decision, verdict and equity mark of a run, the trades they make, and what holding cost.

Entry points: `ledger.Ledger`, `buffered.BufferedLedger`, `trades.pair`. Its SQL stands here and nowhere else.
"""
