"""Tables in which a figure is never cut, however narrow the terminal.

Where the columns do not fit, every row becomes lines of ``name value`` pairs that break between
pairs only.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from crucible.text import cell as shown
from crucible.text import terminal

Kind = Literal["name", "figure", "text"]
# A text that gets less than this is no longer readable beside figures.
LEAST_TEXT = 16
# Between two columns: the padding of one, and the box's divider.
GAP = 2
# What is not a terminal has no width; a program that reads lines wants each in one piece.
ENDLESS = 20_000


def open_console() -> Console:
    """Open standard output: as wide as its terminal, or endlessly wide where it is none."""
    console = terminal()
    return console if console.is_terminal else terminal(width=ENDLESS)


@dataclass(frozen=True, slots=True)
class Column:
    """One column; only a `text` may be wrapped."""

    name: str
    kind: Kind
    footer: str = ""


class Sheet:
    """A table for the eye.

    Parameters
    ----------
    title : str
    *columns : Column
        The first one names the row.
    """

    def __init__(self, title: str, *columns: Column) -> None:
        self._title = title
        self._columns = columns
        self._rows: list[tuple[Text, ...]] = []

    def add(self, *cells: str | Text) -> None:
        """Add a row, one cell a column."""
        self._rows.append(tuple(shown(cell) if isinstance(cell, str) else cell for cell in cells))

    def __len__(self) -> int:
        return len(self._rows)

    def __rich_console__(
        self, console: Console, options: ConsoleOptions
    ) -> Iterator[RenderableType]:
        """Give the table if it fits into the width, else its rows as pairs."""
        widths = self._widths(options.max_width)
        if widths is not None:
            yield self._table(widths)
            return
        yield Text(self._title, style="italic")
        for row in [*self._rows, *self._footers()]:
            yield from self._pairs(row, options.max_width)

    def _natural(self) -> list[int]:
        """Width of each column's widest cell."""
        return [
            max(
                cell_len(column.name),
                cell_len(column.footer),
                *(cell_len(row[place].plain) for row in self._rows),
                0,
            )
            for place, column in enumerate(self._columns)
        ]

    def _widths(self, room: int) -> list[int] | None:
        """Share the room among the columns; None if a figure, a name or a readable text has too little."""
        natural = self._natural()
        texts = [place for place, column in enumerate(self._columns) if column.kind == "text"]
        left = room - GAP * (len(self._columns) - 1)
        left -= sum(width for place, width in enumerate(natural) if place not in texts)
        # The shortest first: what it does not need is the longer ones'.
        widths = dict(enumerate(natural))
        for number, place in enumerate(sorted(texts, key=lambda text: natural[text])):
            widths[place] = min(natural[place], left // (len(texts) - number))
            if widths[place] < min(natural[place], LEAST_TEXT):
                return None
            left -= widths[place]
        return None if left < 0 else [widths[place] for place in range(len(natural))]

    def _table(self, widths: list[int]) -> Table:
        table = Table(
            title=self._title or None,
            title_justify="left",
            show_header=any(column.name for column in self._columns[1:]),
            show_footer=any(column.footer for column in self._columns),
            box=SIMPLE_HEAD,
            show_edge=False,
            pad_edge=False,
            padding=(0, 1, 0, 0),
        )
        for column, width in zip(self._columns, widths, strict=True):
            table.add_column(
                column.name,
                footer=column.footer,
                width=width,
                no_wrap=column.kind != "text",
                overflow="fold",
                justify="right" if column.kind == "figure" else "left",
            )
        for row in self._rows:
            table.add_row(*row)
        return table

    def _footers(self) -> list[tuple[Text, ...]]:
        if not any(column.footer for column in self._columns):
            return []
        return [tuple(Text(column.footer) for column in self._columns)]

    def _pairs(self, row: tuple[Text, ...], room: int) -> Iterator[RenderableType]:
        """Give a row's name, then its pairs, as many a line as fit; texts get lines of their own."""
        yield Text(row[0].plain, style="bold", overflow="fold")
        reported = [
            (column.kind, Text.assemble((f"{column.name} ", "dim") if column.name else "", cell))
            for column, cell in zip(self._columns[1:], row[1:], strict=True)
            if cell.plain
        ]
        line = Text()
        for pair in (pair for kind, pair in reported if kind != "text"):
            if line and cell_len(line.plain) + 3 + cell_len(pair.plain) > room - 2:
                yield Padding(line, (0, 0, 0, 2))
                line = Text()
            line = Text.assemble(line, "   ", pair) if line else pair
        if line:
            yield Padding(line, (0, 0, 0, 2))
        for pair in (pair for kind, pair in reported if kind == "text"):
            for part in textwrap.wrap(pair.plain, max(8, room - 2)):
                yield Padding(Text(part, overflow="fold"), (0, 0, 0, 2))
