"""What signals would have earned: one strategy, a population of programs, and the statistics of either.

Entry points: `engine.backtest`, `population.evaluate_programs`. Nothing here makes or chooses a candidate.
"""
