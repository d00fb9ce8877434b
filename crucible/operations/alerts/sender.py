"""One message to one address through Apprise, with a limit on its time; whatever comes of it, no address is shown."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from crucible.operations.alerts.addresses import Address
from crucible.operations.alerts.messages import Alert

TIMEOUT_S = 20.0
Send = Callable[[Address, Alert], str]
"""Sends; gives why it did not arrive, empty where it did."""


def send_to_all(send: Send, addresses: Sequence[Address], alert: Alert) -> dict[str, str]:
    """Send a message to every address at once; give by address why it did not arrive, empty where it did."""
    with ThreadPoolExecutor(max_workers=max(1, len(addresses))) as threads:
        faults = threads.map(lambda address: send(address, alert), addresses)
        return {address.name: fault for address, fault in zip(addresses, faults, strict=True)}


class AppriseSender:
    """Sends one message at a time to an address, to several addresses at once.

    Parameters
    ----------
    timeout_s : float
        How long an address may take. One that takes longer is left alone until it has ended.
    notify : callable
        Sends, for as long as it takes.
    """

    def __init__(self, timeout_s: float = TIMEOUT_S, notify: Send | None = None) -> None:
        self._timeout_s = timeout_s
        self._notify = notify or _notify
        self._stuck: dict[str, threading.Thread] = {}

    def __call__(self, address: Address, alert: Alert) -> str:
        """Send a message; give why it did not arrive, empty where it did."""
        before = self._stuck.get(address.digest)
        if before is not None and before.is_alive():
            return "the message before it is still on its way"
        answer: list[str] = []
        thread = threading.Thread(
            target=lambda: answer.append(self._notify(address, alert)), name="alert", daemon=True
        )
        thread.start()
        thread.join(self._timeout_s)
        if thread.is_alive():
            self._stuck[address.digest] = thread
            return f"no answer in {self._timeout_s:g} s"
        self._stuck.pop(address.digest, None)
        return answer[0] if answer else "it could not be sent"


def _notify(address: Address, alert: Alert) -> str:
    # Imported here: it takes a moment, and most workspaces have no address.
    try:
        silence()
        import apprise

        asset = apprise.AppriseAsset(
            app_id="Crucible", app_desc="Crucible", app_url="", async_mode=False
        )
        target = apprise.Apprise(asset=asset)
        if not target.add(address.url.get_secret_value()):
            return "Apprise does not know such an address"
        kind = apprise.NotifyType.INFO
        if alert.event not in {"cull", "promotion"}:
            kind = apprise.NotifyType.WARNING
        arrived = target.notify(
            body=alert.text,
            title=f"Crucible: {alert.title}",
            notify_type=kind,
            body_format=apprise.NotifyFormat.TEXT,
        )
    except Exception as error:  # noqa: BLE001 - a plugin may raise anything, and its text may hold the address
        return f"Apprise failed with {type(error).__name__}"
    return "" if arrived else "it does not answer, or refused it"


def silence() -> None:
    """Keep Apprise's own log, which names hosts and paths, and that of its connections, off every log of ours."""
    for name in ("apprise", "urllib3", "requests"):
        log = logging.getLogger(name)
        log.handlers[:] = [logging.NullHandler()]
        log.propagate = False
