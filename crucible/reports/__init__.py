"""Reports as one file: how a run, an agent or a walk-forward did, with every figure's definition.

Entry points: `command.make_page`, which writes the page, and `figures.figures_of`, which computes. What is read stands in
`of_run` and `of_walk_forward`; everything else is pure. Definitions: docs/reference/report.md.
"""
