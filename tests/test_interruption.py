"""An interruption stays one, wherever it comes."""

import numba
import numpy as np
import pytest
from numba.core import serialize

from crucible.interruption import interruptible


class Interrupting(dict):
    """Stands where compiled code asks Python for a class, and where a signal's handler may run."""

    def __init__(self, cause):
        self.cause = cause

    def __getitem__(self, key):
        raise self.cause


@numba.njit
def both(values):
    return values * 2, values * 3


@pytest.fixture
def interrupted(monkeypatch):
    """Let a compiled call be interrupted while it makes its result."""
    values = np.ones(3)
    both(values)

    def call(cause):
        with monkeypatch.context() as changed:
            changed.setattr(serialize, "_unpickled_memo", Interrupting(cause))
            both(values)

    return call


def test_what_interrupts_a_compiled_call_is_raised_itself(interrupted):
    with pytest.raises(SystemError):
        interrupted(KeyboardInterrupt())
    for cause in (KeyboardInterrupt(), SystemExit(3)):
        with pytest.raises(type(cause)) as reported, interruptible():
            interrupted(cause)
        assert reported.value is cause


def test_a_failure_stays_the_failure_it_is(interrupted):
    with pytest.raises(SystemError), interruptible():
        interrupted(ValueError("no interruption"))
    with pytest.raises(ZeroDivisionError), interruptible():
        _ = 1 / 0
