"""The gate before a page of ours: only its own addresses, its own origins, and its own user.

A server on the loopback interface is reached by every page that a browser shows and by every user of
the machine. Pages are told apart by ``Host``, ``Origin`` and ``Sec-Fetch-Site`` (Fetch Metadata, W3C),
users by who owns the other end of the connection, which Linux tells.
"""

from __future__ import annotations

import ipaddress
import os
import socket
import struct
import sys
from collections.abc import Awaitable, Callable, Iterator, Mapping, MutableMapping
from contextlib import suppress
from pathlib import Path
from typing import Any

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Address = tuple[str, int]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

_TABLES = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
_ESTABLISHED, _LISTEN = "01", "0A"
_FORBIDDEN = 403
# What a browser says of a request that no page of another origin has caused: typed, or our own page.
_OWN_SITE = {b"same-origin", b"none"}


class Gate:
    """An ASGI application that lets through what its own user asks from its own pages.

    The server must not believe ``X-Forwarded-For`` (uvicorn's ``proxy_headers``): whoever asks could
    then choose whose connection it is taken for.

    Parameters
    ----------
    app : ASGI application
        Behind the gate.
    owner : callable, optional
        Gives the user of the client's end from both ends' addresses; tests pass their own.
    """

    def __init__(
        self, app: App, owner: Callable[[Address, Address], int | None] | None = None
    ) -> None:
        self._app = app
        self._owner = owner or owner_of

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 403 with the reason, or pass on."""
        reason = self._refusal(scope) if scope["type"] in {"http", "websocket"} else ""
        if not reason:
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            # Before it is accepted a close is an answer 403.
            await send({"type": "websocket.close", "code": 1008, "reason": reason})
        else:
            headers = [(b"content-type", b"text/plain; charset=utf-8")]
            await send({"type": "http.response.start", "status": _FORBIDDEN, "headers": headers})
            await send({"type": "http.response.body", "body": f"crucible: {reason}\n".encode()})

    def _refusal(self, scope: Scope) -> str:
        client, server = scope.get("client"), scope.get("server")
        if client is None or server is None:
            return "a connection without addresses belongs to nobody"
        reported: dict[bytes, list[bytes]] = {}
        for name, value in scope.get("headers", []):
            reported.setdefault(name.lower(), []).append(value.lower())
        hosts = [f"{name}:{server[1]}" for name in ("127.0.0.1", "localhost")]
        if reported.get(b"host", []) not in [[host.encode()] for host in hosts]:
            return f"this page is asked for as {' or '.join(hosts)} only"
        origin = reported.get(b"origin", [])
        if origin and origin not in [[f"http://{host}".encode()] for host in hosts]:
            return "a page of another origin may not ask here"
        site = reported.get(b"sec-fetch-site", [])
        if not set(site) <= _OWN_SITE and not _harmless(scope, reported):
            return "a page of another origin may not ask here"
        try:
            owner = self._owner(tuple(client), tuple(server))
        except OSError as error:
            return f"who asks cannot be told: {error}"
        return "" if owner == os.getuid() else "another user of this machine may not ask here"


def _harmless(scope: Scope, reported: Mapping[bytes, list[bytes]]) -> bool:
    """Whether a link was followed to a page of ours, or another of our pages shows a picture of it.

    Neither changes anything, and the page that caused it cannot read what comes.
    """
    if scope["type"] != "http" or scope["method"] not in {"GET", "HEAD"}:
        return False
    mode, target = reported.get(b"sec-fetch-mode"), reported.get(b"sec-fetch-dest")
    if (mode, target) == ([b"navigate"], [b"document"]):
        return True
    return target == [b"image"] and reported.get(b"sec-fetch-site") == [b"same-site"]


def owner_of(client: Address, server: Address) -> int | None:
    """Give the user who holds the client's end of a connection on this machine; None if nobody does.

    Only an end that a process still holds tells its user: one that was closed counts as nobody's.

    Raises
    ------
    OSError
        If the system does not tell.
    """
    try:
        ends = _hex(client), _hex(server)
    except ValueError:
        return None
    with suppress(OSError, struct.error):
        return _asked_owner(client, server)
    for local, remote, state, user in _connections():
        # A client may speak IPv4 through an IPv6 socket: its address then ends as the IPv4 one.
        if state == _ESTABLISHED and local.endswith(ends[0]) and remote.endswith(ends[1]):
            return user
    return None


def _asked_owner(client: Address, server: Address) -> int | None:
    """Ask the kernel for one connection (sock_diag(7)): the tables take it a hundred times as long.

    Raises
    ------
    OSError
        If it does not answer so: an old kernel, a container, or there is no such connection.
    """
    ports = struct.pack("!HH", client[1], server[1])
    places = [socket.inet_aton(end[0]).ljust(16, b"\0") for end in (client, server)]
    one = ports + b"".join(places) + struct.pack("=III", 0, _ANY, _ANY)
    body = struct.pack("=BBBBI", socket.AF_INET, socket.IPPROTO_TCP, 0, 0, _ANY) + one
    head = struct.pack("=IHHII", _HEAD + len(body), _BY_FAMILY, _REQUEST, 0, 0)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _SOCK_DIAG) as kernel:
        kernel.settimeout(1.0)
        kernel.sendall(head + body)
        reported = kernel.recv(4096)
    if struct.unpack_from("=IH", reported)[1] != _BY_FAMILY:
        number = -struct.unpack_from("=i", reported, _HEAD)[0]
        raise OSError(number, os.strerror(number))
    state = reported[_HEAD + 1]
    user, inode = struct.unpack_from("=II", reported, _HEAD + _USER)
    same = reported[_HEAD + 4 : _HEAD + 8] == ports
    return user if same and inode and state == int(_ESTABLISHED, 16) else None


# <linux/netlink.h>, <linux/sock_diag.h>, <linux/inet_diag.h>
_SOCK_DIAG, _BY_FAMILY, _REQUEST, _ANY = 4, 20, 1, 0xFFFFFFFF
_HEAD, _USER = 16, 64


def listener_of(port: int) -> int | None:
    """Give the user who listens on a port of 127.0.0.1; None if nobody does.

    Raises
    ------
    OSError
        If the system does not tell.
    """
    end = _hex(("127.0.0.1", port))
    rows = _connections()
    return next((who for local, _, state, who in rows if (state, local) == (_LISTEN, end)), None)


def _connections() -> Iterator[tuple[str, str, str, int]]:
    """Give both ends, state and user of every connection that a process of this machine holds."""
    for number, table in enumerate(_TABLES):
        try:
            rows = table.read_text().splitlines()[1:]
        except FileNotFoundError:
            if number:  # a machine without IPv6
                continue
            raise
        for row in rows:
            _, local, remote, state, _, _, _, user, _, inode, *_ = row.split()
            if inode != "0":
                yield local, remote, state, int(user)


def _hex(address: Address) -> str:
    """Write an IPv4 end as the kernel does: the address in the machine's own order of bytes.

    Examples
    --------
    >>> _hex(("127.0.0.1", 80))
    '0100007F:0050'
    """
    number = int.from_bytes(ipaddress.IPv4Address(address[0]).packed, sys.byteorder)
    return f"{number:08X}:{address[1]:04X}"
