"""Side-by-side speed tests against named peers; each prints ratios and keeps its figures.

Nothing here is part of the product, and no peer is ever installed into the product's environment.
"""
