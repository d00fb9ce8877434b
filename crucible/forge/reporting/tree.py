"""A program drawn as a tree: one SVG file that needs nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from html import escape

from crucible.vm.program import OPERATORS, Expression, ValueType
from crucible.vm.simplify import simplify, truth

ROW, GAP, MARGIN = 26, 34, 14
LETTER, PADDING = 7.2, 9
STYLE = (
    ".drawn text{font:12px ui-monospace,Menlo,Consolas,monospace;dominant-baseline:central}"
    ".drawn .edge{fill:none;stroke:#9aa4ae;stroke-width:1.2}"
)
COLOURS = {
    "rule": ("#1d2329", "#ffffff"),
    "condition": ("#d7ebe2", "#0b4d38"),
    "number": ("#dce6f2", "#1f3d60"),
    "feature": ("#f7e3d4", "#7a3415"),
    "constant": ("#eceef1", "#3b444d"),
}
SYMBOLS = {
    "add": "+",
    "sub": "-",
    "mul": "x",
    "div": "/ (damped)",
    "gt": ">",
    "lt": "<",
    "cross_above": "crosses above",
    "cross_below": "crosses below",
    "neg": "minus",
    "if": "if, then, else",
}
SPOKEN = {True: "always", False: "never"}


@dataclass(slots=True)
class Node:
    """One box of the picture."""

    label: str
    sort: str
    depth: int
    children: list[Node] = field(default_factory=list)
    row: float = 0.0

    @property
    def width(self) -> float:
        """Width of its box in pixels."""
        return len(self.label) * LETTER + 2 * PADDING

    def walk(self) -> Iterator[Node]:
        """Give the node and everything below it."""
        yield self
        for child in self.children:
            yield from child.walk()


def program_tree(program: Expression) -> str:
    """Draw a program without what of it cannot matter: two rules on the left, features and constants on the right.

    Parameters
    ----------
    program : tuple
        As `parse_program` returns it.

    Returns
    -------
    str
        An SVG document.
    """
    simpler = simplify(program)
    assert isinstance(simpler, tuple)
    _, buy, leave = simpler
    root = Node("trade", "rule", 0)
    for label, rule in (("buy when", buy), ("exit when", leave)):
        known = truth(rule)
        said = _node(rule, 2) if known is None else Node(SPOKEN[known], "condition", 2)
        root.children.append(Node(label, "rule", 1, [said]))
    rows = _place(root, 0)
    depths = max(node.depth for node in root.walk()) + 1
    widths = [0.0] * depths
    for node in root.walk():
        widths[node.depth] = max(widths[node.depth], node.width)
    left = [MARGIN + sum(widths[:depth]) + GAP * depth for depth in range(depths)]
    wide = left[-1] + widths[-1] + MARGIN
    high = rows * ROW + 2 * MARGIN
    edges, boxes = [], []
    for node in root.walk():
        x, y = left[node.depth], MARGIN + (node.row + 0.5) * ROW
        fill, ink = COLOURS[node.sort]
        boxes.append(
            f'<rect x="{x:.1f}" y="{y - 10:.1f}" width="{node.width:.1f}" height="20" rx="5" '
            f'fill="{fill}"/><text x="{x + PADDING:.1f}" y="{y:.1f}" fill="{ink}">'
            f"{escape(node.label)}</text>"
        )
        for child in node.children:
            start, end = x + node.width, left[child.depth]
            below = MARGIN + (child.row + 0.5) * ROW
            bend = end - GAP / 2
            edges.append(
                f'<path class="edge" d="M{start:.1f} {y:.1f}H{bend:.1f}V{below:.1f}H{end:.1f}"/>'
            )
    return document(wide, high, "".join(edges) + "".join(boxes))


def document(wide: float, high: float, body: str) -> str:
    """Give an SVG document on white, which a browser shows by itself."""
    return (
        f'<svg class="drawn" xmlns="http://www.w3.org/2000/svg" width="{wide:.0f}" height="{high:.0f}" '
        f'viewBox="0 0 {wide:.0f} {high:.0f}"><style>{STYLE}</style>'
        f'<rect width="100%" height="100%" fill="#ffffff"/>{body}</svg>\n'
    )


def _node(expression: Expression, depth: int) -> Node:
    """Make a box; a lookback belongs to the box of its operator."""
    if not isinstance(expression, tuple):
        if isinstance(expression, str):
            return Node(expression, "feature", depth)
        return Node(f"{expression:g}", "constant", depth)
    operator = OPERATORS[expression[0]]
    label = SYMBOLS.get(operator.name, operator.name.replace("_", " "))
    parts = []
    for part, wanted in zip(expression[1:], operator.arguments, strict=True):
        if wanted is ValueType.WINDOW:
            label = f"{label} {part}"
        else:
            parts.append(part)
    sort = "condition" if operator.returns is ValueType.BOOLEAN else "number"
    return Node(label, sort, depth, [_node(part, depth + 1) for part in parts])


def _place(node: Node, row: int) -> int:
    """Give every leaf a row of its own and every other box the middle of its children."""
    if not node.children:
        node.row = row
        return row + 1
    for child in node.children:
        row = _place(child, row)
    node.row = (node.children[0].row + node.children[-1].row) / 2
    return row
