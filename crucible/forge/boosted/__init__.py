"""Boosted classifiers: labels, screening, training and calibration, and the breeder that evolution drives.

Entry point: `breeder.BoostedBreeder`. Nothing here looks at rows that judge a candidate.
"""
