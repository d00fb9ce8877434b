"""What keeps the factory honest while it runs: agents against their backtests, and placebos against the stated rates."""
