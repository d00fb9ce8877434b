"""Commands of the terminal that are not in `crucible.cli`, and the options that several share."""
