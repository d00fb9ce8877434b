"""What keeps the factory honest while it runs: agents against their backtests, placebos against the stated rates, and culls that are one event."""
