"""The walk-forward of the whole factory: what it would have earned on candles of the past, and what else would have.

Market time only, no server: forge runs see the past of their instant, and agents trade what comes next by the rules
that judge, promote and replace them live.
"""
