"""How much room a disk has left: told before it is used up, and again when there is enough."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

MEGABYTE = 1024 * 1024
LOW_BYTES = 500 * MEGABYTE
LOW_SHARE = 0.02
"""On a small disk a share of it counts instead: less than both is low."""


@dataclass(slots=True)
class Room:
    """The disk of one workspace.

    Parameters
    ----------
    folder : Path
    """

    folder: Path
    _is_low: bool = False

    def look(self, report_line: Callable[[str], None]) -> None:
        """Say when the room has become short, and when it is enough again; once each."""
        try:
            disk = os.statvfs(self.folder)
        except OSError as error:
            if not self._is_low:
                self._is_low = True
                report_line(f"{self.folder}: the disk cannot be asked for its room: {error}")
            return
        free, whole = disk.f_bavail * disk.f_frsize, disk.f_blocks * disk.f_frsize
        is_low = free < min(LOW_BYTES, LOW_SHARE * whole)
        if is_low and not self._is_low:
            report_line(
                f"{self.folder}: {free / MEGABYTE:.0f} MB are left on its disk; free some, or journal "
                "and ledger cannot be written and no new position is opened"
            )
        elif self._is_low and not is_low:
            report_line(f"{self.folder}: its disk has room again, {free / MEGABYTE:.0f} MB")
        self._is_low = is_low
