"""When a service that ended by itself is started again: soon, then later, then never.

Pure: time is passed in.
"""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class Restarts:
    """The restarts of one service.

    Parameters
    ----------
    limit : int
        Restarts allowed within `window_s`; a service that fails faster is broken, not unlucky.
    window_s : float
    first_pause_s, longest_pause_s : float
        The pause doubles from the first to the longest.
    """

    limit: int = 6
    window_s: float = 600.0
    first_pause_s: float = 1.0
    longest_pause_s: float = 30.0
    _times: list[float] = field(default_factory=list)

    def pause(self, now: float) -> float | None:
        """Record an end at `now`; give the seconds to wait, or None to give up."""
        self._times = [time for time in self._times if now - time < self.window_s]
        if len(self._times) >= self.limit:
            return None
        wait = min(self.first_pause_s * 2.0 ** len(self._times), self.longest_pause_s)
        self._times.append(now)
        return wait

    @property
    def count(self) -> int:
        """Restarts within the window, as of the last end."""
        return len(self._times)
