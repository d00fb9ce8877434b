"""The shape of recent prices: lifetimes of loops and components, and the radar that reads them.

`giotto` trains and checks in batch; `rips` and `radar` serve the live row. Both agree in tests.
"""
