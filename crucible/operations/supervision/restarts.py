"""When a service that ended by itself is started again: soon, then later, then at a steady pace.

Never is no answer: what protects positions must come back by itself once what ended it is gone, a full
disk for example, and whatever else ended cannot be told from it.

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
        Ends within `window_s` after which a service is called failing: it is broken, not unlucky.
    window_s : float
    first_pause_s, longest_pause_s : float
        The pause doubles from the first to the longest.
    """

    limit: int = 6
    window_s: float = 600.0
    first_pause_s: float = 1.0
    longest_pause_s: float = 30.0
    _times: list[float] = field(default_factory=list)

    def pause(self, now: float) -> float:
        """Record an end at `now`; give the seconds to wait before the next start."""
        self._times = [time for time in self._times if now - time < self.window_s]
        # Doubling without an end would overflow.
        doublings = min(len(self._times), 32)
        self._times.append(now)
        return min(self.first_pause_s * 2.0**doublings, self.longest_pause_s)

    @property
    def count(self) -> int:
        """Ends within the window, as of the last one."""
        return len(self._times)

    @property
    def failing(self) -> bool:
        """Whether it ended so often that somebody should look."""
        return len(self._times) > self.limit
