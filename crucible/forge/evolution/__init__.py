"""One forge run, generation by generation: selection, islands, checkpoints, and distribution over workers.

Entry points: `run.ForgeRun`, `islands.Islands`. The same seed gives the same bytes.
"""
