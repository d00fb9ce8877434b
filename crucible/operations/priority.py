"""Who goes first where cores are few: what executes, then what decides, then what evolves.

Cerebellum and the venue keep the priority they are given. An arena at the same priority can keep the
thread that sends an order waiting for a millisecond and more while it writes its own books, and a
forging computes for minutes.
"""

from __future__ import annotations

import os

ARENA = 5
FORGE = 10


def step_back(nice: int) -> None:
    """Give this process a lower priority; one that is lower already is left alone.

    Parameters
    ----------
    nice : int
        The nice value, 0 to 19; children inherit it.
    """
    os.nice(max(0, nice - os.nice(0)))


def step_back_in_a_flow_run(nice: int) -> None:
    """Do so where a Prefect worker gave the flow run a process of its own."""
    if "PREFECT__FLOW_RUN_ID" in os.environ:
        step_back(nice)
