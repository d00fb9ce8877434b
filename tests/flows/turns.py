"""The selection process with small flows instead of its own: ``python -m tests.flows.turns FOLDER [LONGEST_S]``."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

from prefect import flow

from flows import selection

DEPLOYMENTS = ("steady", "failing")
FOLDER = Path(sys.argv[1]) if __name__ == "__main__" else Path()


@flow(name="steady", flow_run_name="look around")
def steady() -> int:
    """Write down which process this is; hang inside another flow where a test asks for it."""
    with (FOLDER / "pids").open("a") as file:
        file.write(f"{os.getpid()}\n")
    if (FOLDER / "hang").exists():
        inner()
    return os.getpid()


@flow(name="inner", flow_run_name="hang")
def inner() -> None:
    """Wait to be killed."""
    (FOLDER / "hanging").touch()
    time.sleep(600)


@flow(name="failing", flow_run_name="fail")
def failing() -> None:
    """Raise, always."""
    message = "as a test wants it"
    raise ValueError(message)


def main() -> None:
    """Do what the selection process does, with these flows."""
    longest_s = float(sys.argv[2]) if len(sys.argv) > 2 else selection.LONGEST_S
    selection.turns_of = lambda _: (  # type: ignore[assignment]
        selection.Turn("steady/steady", steady, 0.5, longest_s),
        selection.Turn("failing/failing", failing, 0.5, longest_s),
    )
    selection.main()


if __name__ == "__main__":
    main()
