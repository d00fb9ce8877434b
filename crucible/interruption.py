"""What a person's Ctrl-C or a worker's signal becomes when it comes while compiled code runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def interruptible() -> Iterator[None]:
    """Raise what a signal's handler raised, where compiled code has turned it into a `SystemError`.

    Python calls a handler wherever it next runs Python, which may be in the midst of a compiled call
    that cannot hand on what the handler raises: the call then ends in a `SystemError`, an ordinary
    failure to whoever catches it, with the interruption as its cause.
    """
    try:
        yield
    except SystemError as error:
        found: BaseException | None = error
        while isinstance(found, Exception):
            found = found.__cause__ or found.__context__
        if found is None:
            raise
        raise found from None
