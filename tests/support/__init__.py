"""What tests of several folders share, written once: processes, waiting, markets, values to start from.

No test lives here, and nothing here is imported by the product.
"""
