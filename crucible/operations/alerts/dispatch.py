"""Alerts of one run: a thread that looks at what is new every few seconds, and sends it.

Entry point: `open_alerts`. The supervisor hands in what it alone knows (a part that ended) and fetches lines for the
log; it never waits. Each address is sent to by a thread of its own, so that none waits for another. Only with the lock
held is `Memory` read or changed; no thread holds it while it sends.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Sequence

from crucible.operations.alerts import messages
from crucible.operations.alerts.addresses import Address, read_addresses
from crucible.operations.alerts.memory import DamagedMemoryError, Delivery, Memory, read_memory
from crucible.operations.alerts.messages import Alert
from crucible.operations.alerts.sender import AppriseSender, Send
from crucible.operations.alerts.sources import look
from crucible.operations.workspace import Run
from crucible.settings import AlertSettings

LOOK_EVERY_S = 2.0
PAUSES_S = (5.0, 30.0, 120.0, 600.0)
"""Between one try and the next; after the last one an alert is given up."""
HOUR_S = 3_600.0
LAST_WORDS_S = 15.0
"""How long the end of the stack waits for what is still to be sent."""
MOST_LINES = 200
OF_CULLS = frozenset({"parity", "systemic"})
"""Events that are culls as well: whoever asks for culls hears of them."""


class Alerts:
    """Sends what happens in one run.

    Parameters
    ----------
    settings : AlertSettings
    addresses : sequence of Address
        One at least.
    run : Run
    send : callable
        Sends one message to one address.
    pauses_s : sequence of float
    clock : callable
        Unix seconds.
    """

    def __init__(
        self,
        settings: AlertSettings,
        addresses: Sequence[Address],
        run: Run,
        send: Send | None = None,
        *,
        pauses_s: Sequence[float] = PAUSES_S,
        look_every_s: float = LOOK_EVERY_S,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._settings = settings
        self._addresses = {address.digest: address for address in addresses}
        self._run = run
        self._send = send or AppriseSender()
        self._pauses_s = tuple(pauses_s)
        self._look_every_s = look_every_s
        self._clock = clock
        self._lines: deque[str] = deque(maxlen=MOST_LINES)
        self._handed_in: deque[Alert] = deque(maxlen=MOST_LINES)
        self._closing = threading.Event()
        self._unsaved = ""
        self._lock = threading.RLock()
        self._sending: dict[str, threading.Thread] = {}
        # Read before anything of this run is started: what happens from here on is new.
        self._memory = self._begin()
        self._thread = threading.Thread(target=self._work, name="alerts", daemon=True)

    def start(self) -> None:
        """Begin to look and send."""
        self._thread.start()

    def part_ended(self, name: str, how: str) -> None:
        """Take in that a part ended which nobody had stopped; returns at once."""
        self._handed_in.append(messages.of_death(name, how))

    def stack_ended(self, why: str) -> None:
        """Take in that the whole stack stops because of a fault; returns at once."""
        self._handed_in.append(messages.of_end(why))

    def lines(self) -> list[str]:
        """Give what there is to say since the last call, for the log; no address is in it."""
        found = []
        while self._lines:
            found.append(self._lines.popleft())
        return found

    def finish(self) -> None:
        """Ask for the last look and the last tries; returns at once."""
        self._closing.set()

    def close(self, wait_s: float = LAST_WORDS_S) -> None:
        """Wait for the last look and the last tries, at most `wait_s` seconds."""
        self.finish()
        if self._thread.is_alive():
            self._thread.join(wait_s)
        left = sorted({each.title for each in list(self._memory.waiting)})
        if left:
            self._report(f"{len(left)} were not sent before the end: {'; '.join(left)}")

    def turn(self, *, wait: bool = True) -> None:
        """Look at what is new and send what is due.

        Parameters
        ----------
        wait : bool
            Whether to wait until everything that is due was tried.
        """
        with self._lock:
            fresh = look(self._run, self._memory, self._report)
            while self._handed_in:
                fresh.append(self._handed_in.popleft())
            self._take_on([alert for alert in fresh if self._is_wanted(alert)])
        busy = self._deliver(self._addresses)
        if wait:
            for digest in busy:
                self._deliver_next(digest)
            self._join()

    # --- the thread ------------------------------------------------------------------------------

    def _work(self) -> None:
        while True:
            is_last = self._closing.wait(self._look_every_s)
            try:
                self.turn(wait=is_last)
            except Exception as error:  # noqa: BLE001 - a defect here must not end what alerts of all others
                self._report(f"a look at what is new failed: {type(error).__name__}")
            if is_last:
                return

    def _begin(self) -> Memory:
        memory = None
        try:
            memory = read_memory(self._run.path)
        except DamagedMemoryError as error:
            self._report(str(error))
        if memory is None:
            memory = Memory.fresh()
            look(self._run, memory, self._report)
        for each in [each for each in memory.waiting if each.is_on_its_way]:
            memory.waiting.remove(each)
            self._report(
                f"{each.title!r} may have been sent before the last end; it is not sent again"
            )
        memory.waiting = [each for each in memory.waiting if each.address in self._addresses]
        self._save(memory)
        return memory

    def _is_wanted(self, alert: Alert) -> bool:
        wanted = self._settings.events
        return alert.event in wanted or (alert.event in OF_CULLS and "cull" in wanted)

    def _take_on(self, fresh: Sequence[Alert]) -> None:
        """Queue what the rate limit allows, and count the rest."""
        memory, now = self._memory, self._clock()
        memory.taken = [each for each in memory.taken if now - HOUR_S < each <= now]
        if memory.withheld and len(memory.taken) < self._settings.per_hour:
            summary = messages.of_withheld(memory.withheld)
            memory.withheld = {}
            if summary is not None:
                self._queue(summary, now)
        for alert in fresh:
            if len(memory.taken) < self._settings.per_hour:
                self._queue(alert, now)
            else:
                memory.withheld = dict(Counter(memory.withheld) + Counter({alert.event: 1}))
        self._save(memory)

    def _queue(self, alert: Alert, now: float) -> None:
        self._memory.taken.append(now)
        text = f"{alert.text}\nRun {self._run.run_id}."
        document = {**alert.to_json(), "text": text}
        self._memory.waiting += [Delivery(document, digest) for digest in self._addresses]

    def _deliver(self, digests: Iterable[str]) -> list[str]:
        """Send what is due to every address at once; give those to which something is still on its way."""
        busy = []
        for digest in digests:
            sending = self._sending.get(digest)
            if sending is not None and sending.is_alive():
                busy.append(digest)
            elif due := self._due(digest):
                thread = threading.Thread(
                    target=self._send_all, args=(due,), name=f"alerts-{digest}", daemon=True
                )
                self._sending[digest] = thread
                thread.start()
        return busy

    def _deliver_next(self, digest: str) -> None:
        """Send what is due to an address once what is on its way there has ended: no other address waits for that."""
        before = self._sending[digest]

        def work() -> None:
            before.join()
            self._send_all(self._due(digest))

        self._sending[digest] = threading.Thread(target=work, name=f"alerts-{digest}", daemon=True)
        self._sending[digest].start()

    def _due(self, digest: str) -> list[Delivery]:
        now, is_last = self._clock(), self._closing.is_set()
        with self._lock:
            own = [each for each in self._memory.waiting if each.address == digest]
        return [each for each in own if is_last or each.due <= now]

    def _join(self) -> None:
        for thread in self._sending.values():
            if thread.ident is not None:
                thread.join()

    def _send_all(self, due: Sequence[Delivery]) -> None:
        for each in due:
            self._try(each)

    def _try(self, each: Delivery) -> None:
        memory, address = self._memory, self._addresses[each.address]
        with self._lock:
            each.is_on_its_way = True
            self._save(memory)
        try:
            fault = self._send(address, Alert.from_json(each.alert))
        except Exception as error:  # noqa: BLE001 - a defect here must not leave an alert on its way for ever
            fault = f"sending failed with {type(error).__name__}"
        with self._lock:
            each.is_on_its_way = False
            each.tries += 1
            if not fault:
                memory.waiting.remove(each)
            elif each.tries > len(self._pauses_s):
                memory.waiting.remove(each)
                self._report(
                    f"{each.title!r} did not reach {address.name} in {each.tries} tries ({fault}); "
                    "it is given up. Try the address: crucible alerts test"
                )
            else:
                pause = self._pauses_s[each.tries - 1]
                each.due = self._clock() + pause
                self._report(
                    f"{each.title!r} did not reach {address.name}: {fault}; again in {pause:g} s"
                )
            self._save(memory)

    def _save(self, memory: Memory) -> None:
        try:
            memory.save(self._run.path)
        except OSError as error:
            if self._unsaved != str(error):
                self._unsaved = str(error)
                self._report(f"{error}; a restart may send something twice")
        else:
            self._unsaved = ""

    def _report(self, text: str) -> None:
        self._lines.append(f"alerts: {text}")


def open_alerts(settings: AlertSettings, run: Run) -> Alerts | None:
    """Give the alerts of a run; None where no address is set.

    Raises
    ------
    WorkspaceError
        If the file of addresses cannot be used.
    """
    addresses = read_addresses(settings)
    return Alerts(settings, addresses, run) if addresses else None
