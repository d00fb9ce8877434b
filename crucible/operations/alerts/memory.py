"""What alerts remember in the run's folder, so that nothing is sent twice and nothing that waits is forgotten.

An alert is marked before it is sent. After a crash in that very moment nobody knows whether it arrived: it is named
in the log and not sent again.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, Self, get_args

import msgspec

from crucible.errors import CrucibleError
from crucible.files import write_json
from crucible.operations.alerts.messages import Alert

FILE = "alerts.json"
Source = Literal["journal", "ledger", "placebos", "changes"]
"""Where alerts come from."""
SOURCES: tuple[Source, ...] = get_args(Source)


class DamagedMemoryError(CrucibleError, ValueError):
    """The file is damaged."""


class Delivery(msgspec.Struct):
    """One alert on its way to one address.

    Attributes
    ----------
    alert : dict
        As `Alert.to_json`.
    address : str
        Digest of the address.
    tries : int
        Made so far.
    due : float
        Not before this instant, Unix seconds.
    is_on_its_way : bool
        It is being sent at this moment.
    """

    alert: dict[str, Any]
    address: str
    tries: int = 0
    due: float = 0.0
    is_on_its_way: bool = False

    @property
    def title(self) -> str:
        """What the log calls it."""
        return str(self.alert.get("title"))


class Memory(msgspec.Struct):
    """How far everything was read, and what waits.

    Attributes
    ----------
    unread : list of str
        Sources of which the present is not known yet: what they hold when they are read first is the past.
    journal_seq, judged_ts : int
        Newest event of the journal, and newest judgement, that was looked at.
    systemic_ts : int
        Newest systemic fault that was looked at, market milliseconds.
    changes_place : int
        Bytes of the file of changes of production that were looked at.
    placebo_alarm : bool
        Whether the placebos' alarm was sounded and has not ended.
    held : list
        Agent and symbol of everything that is held back; empty text means every one.
    taken : list of float
        When alerts were taken on, in the last hour, Unix seconds.
    withheld : dict
        How many of which event the rate limit holds back.
    waiting : list of Delivery
    troubles : dict
        What cannot be read now, and what was said of it.
    """

    unread: list[Source] = []
    journal_seq: int = 0
    judged_ts: int = 0
    systemic_ts: int = 0
    changes_place: int = 0
    placebo_alarm: bool = False
    held: list[list[str]] = []
    taken: list[float] = []
    withheld: dict[str, int] = {}
    waiting: list[Delivery] = []
    troubles: dict[str, str] = {}

    @classmethod
    def fresh(cls) -> Self:
        """Give that of a run at which nobody has looked yet."""
        return cls(unread=list(SOURCES))

    def save(self, folder: Path) -> None:
        """Write it into a run's folder, for its owner only.

        Raises
        ------
        WriteError
            If it cannot be written.
        """
        write_json(folder / FILE, msgspec.to_builtins(self), mode=0o600)


def read_memory(folder: Path) -> Memory | None:
    """Read what was remembered; None where nothing was.

    Raises
    ------
    DamagedMemoryError
        If the file cannot be read or is damaged.
    """
    path = folder / FILE
    try:
        memory = msgspec.json.decode(path.read_bytes(), type=Memory)
        for each in memory.waiting:
            Alert.from_json(each.alert)
    except FileNotFoundError:
        return None
    except (OSError, msgspec.MsgspecError, LookupError, ValueError) as error:
        message = f"{path}: cannot be used: {error}; alerts begin with what happens from now on"
        raise DamagedMemoryError(message) from error
    return memory
