"""What `crucible up` shows while it runs: one live table in a terminal, plain lines elsewhere."""

from __future__ import annotations

from collections import deque
from datetime import datetime
from types import TracebackType
from typing import Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from crucible.operations.status import Status
from crucible.operations.tables import status_view
from crucible.text import visible

LINES = 6


class Display:
    """The operator's view.

    Parameters
    ----------
    console : rich.console.Console
        A terminal gets the live table; anything else (a file, a pipe) gets one line per event.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._lines: deque[str] = deque(maxlen=LINES)
        self._view: RenderableType = Text()
        self._live = (
            Live(console=console, auto_refresh=False, transient=False)
            if console.is_terminal
            else None
        )

    @property
    def interactive(self) -> bool:
        """Whether a person looks at a terminal."""
        return self._live is not None

    def __enter__(self) -> Self:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def report_line(self, text: str) -> None:
        """Tell one thing that happened."""
        clock = datetime.now().astimezone().strftime("%H:%M:%S")
        line = f"{clock}  {visible(text)}"
        self._lines.append(line)
        if self._live is None:
            self._console.print(line, highlight=False, markup=False, soft_wrap=True)
        else:
            self._draw()

    def show(self, status: Status, footer: str) -> None:
        """Draw the table anew."""
        if self._live is not None:
            self._view = status_view(status, footer)
            self._draw()

    def _draw(self) -> None:
        assert self._live is not None
        lines = Text("\n".join(self._lines), style="dim")
        self._live.update(Group(self._view, lines), refresh=True)
