"""Features of order books and trades: sums a second, kept and recorded, and what is computed from them."""
