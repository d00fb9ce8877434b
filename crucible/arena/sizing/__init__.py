"""How much an agent buys: the edge it has shown, what takes risk off, and the same sizes on a backtest's trades.

Entry points: `entry.size_entry`, `multipliers.risk_multipliers`, `of_backtest.sized`,
`readings.readings_of` (what is recorded of these features). Nothing here decides to buy.
"""
