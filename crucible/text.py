"""Foreign text on a terminal: shown as it is, obeyed never.

A message of a server, a file's name or an agent's reason may hold escape sequences, the markup of our
own tables, marks that turn the writing around, or halves of characters. All of it is shown, visibly.
"""

from __future__ import annotations

import io
import re
import sys
import textwrap
import unicodedata
from collections.abc import Iterable
from contextlib import suppress
from datetime import UTC, datetime
from typing import IO, TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType
    from rich.segment import Segment
    from rich.text import Text

# Controls, invisible format marks (among them those that reverse the writing), halves of characters,
# and the two other ends of a line.
_SHOWN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
# Inside words of some languages and inside compound signs; they do nothing to a terminal.
_JOINERS = frozenset("\u200c\u200d")
_GAP = re.compile(r"(?<=\S) {2,}(?=\S)")


def visible(value: object, *, lines: bool = False) -> str:
    r"""Give a text in which everything that could steer a terminal is spelt out.

    Parameters
    ----------
    value : object
        Anything; None is empty.
    lines : bool
        Leave the ends of lines as they are: where a text may be several lines long.

    Examples
    --------
    >>> visible("a\x1b[31mb\ud800")
    'a\\x1b[31mb\\ud800'
    >>> visible("two\nlines"), visible("two\nlines", lines=True)
    ('two\\nlines', 'two\nlines')
    """
    text = "" if value is None else str(value)
    if text.isascii() and text.isprintable():
        return text
    return "".join(
        each
        if (each == "\n" and lines) or each in _JOINERS or unicodedata.category(each) not in _SHOWN
        else each.encode("unicode_escape").decode("ascii")
        for each in text
    )


def moment(ts: int) -> str:
    """Tell an instant, given in epoch milliseconds, to the minute in UTC.

    Examples
    --------
    >>> moment(60_000_000)
    '1970-01-01 16:40'
    """
    return datetime.fromtimestamp(ts / 1000, UTC).strftime("%Y-%m-%d %H:%M")


def counted(number: int, noun: str) -> str:
    """Write how many there are of something.

    Examples
    --------
    >>> counted(1, "run"), counted(0, "run"), counted(71554, "trial")
    ('1 run', '0 runs', '71,554 trials')
    """
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def wrapped(text: str, width: int) -> str:
    """Break lines that are too long between words, and let what follows stand as far in as the line's text.

    A line in columns goes on below its last column that leaves room to read.

    Examples
    --------
    >>> print(wrapped("  - one two three four five six", 24))
      - one two three four
        five six
    >>> print(wrapped("  name   what it says of it, in words", 32))
      name   what it says of it, in
             words
    """
    made = []
    for line in text.split("\n"):
        content = line.lstrip(" ")
        indent = len(line) - len(content) + (2 if content.startswith("- ") else 0)
        broken = textwrap.wrap(
            line,
            max(width, indent + 20),
            subsequent_indent=" " * _hanging(content, indent, len(line) - len(content), width),
            break_long_words=False,
            break_on_hyphens=False,
        )
        made += broken or [line]
    return "\n".join(made)


LEAST_ROOM = 18
"""Columns of a terminal in which a text can still be read."""


def _hanging(content: str, indent: int, begin: int, width: int) -> int:
    """Give how far in the next line of a text stands: below a column, where that leaves room for every word."""
    room = max(LEAST_ROOM, *map(len, content.split()), 0)
    columns = (begin + gap.end() for gap in _GAP.finditer(content))
    return max((column for column in columns if width - column >= room), default=indent)


def cell(value: object, style: str = "") -> Text:
    """Give foreign text as something that a table or a console shows to the letter."""
    from rich.text import Text

    return Text(visible(value), style=style)


def terminal(
    file: IO[str] | None = None,
    *,
    stderr: bool = False,
    patient: bool = False,
    **options: Any,  # noqa: ANN401 - rich's own
) -> Console:
    """Make the console that every command prints through: it takes no markup and passes no control on.

    Parameters
    ----------
    file : text file, optional
    stderr : bool
    patient : bool
        For a process whose work must go on where its words cannot be written: what a full disk or a
        terminal that is gone refuses is dropped.
    **options
        Of `rich.console.Console`.
    """
    from rich.console import Console
    from rich.segment import Segment

    class Terminal(Console):
        """A console whose text is text, whoever wrote it and however it came here."""

        def render(
            self, renderable: RenderableType, options: ConsoleOptions | None = None
        ) -> Iterable[Segment]:
            for segment in super().render(renderable, options):
                if segment.control:
                    yield segment
                else:
                    yield Segment(visible(segment.text, lines=True), segment.style)

    if patient:
        file = cast("IO[str]", Patient(file or (sys.stderr if stderr else sys.stdout)))
    return Terminal(file=file, stderr=stderr, markup=False, emoji=False, highlight=False, **options)


class Patient(io.TextIOBase):
    """A text file that drops what cannot be written, and never says so to the writer.

    Parameters
    ----------
    file : text file
    """

    def __init__(self, file: IO[str]) -> None:
        self._file = file

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """Of the file behind."""
        return getattr(self._file, "encoding", None) or "utf-8"

    def write(self, text: str) -> int:
        """Write a text, or drop it."""
        with suppress(OSError, ValueError):
            self._file.write(text)
        return len(text)

    def flush(self) -> None:
        """Send what was written on its way, if that is possible."""
        with suppress(OSError, ValueError):
            self._file.flush()

    def isatty(self) -> bool:
        """Whether a person looks at it."""
        return self._file.isatty()

    def fileno(self) -> int:
        """Give the number of the file behind."""
        return self._file.fileno()


def let_every_text_through() -> None:
    """Make printing never fail for a character that the terminal cannot show: it is spelt out."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")
