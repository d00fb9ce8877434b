"""Does an address answer? With the standard library only: importing a full client costs a second."""

from __future__ import annotations

import os
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from urllib.parse import urlsplit

from crucible.gate import listener_of


def answers(url: str, timeout_s: float = 1.0) -> bool:
    """Whether an address of this machine answers 200 within the time, and is this user's.

    Whoever else takes a port before a service of ours has it must not be taken for the service: the
    next request would carry the home's password.
    """
    parts = urlsplit(url)
    if parts.hostname is None or parts.port is None:
        return False
    connection = HTTPConnection(parts.hostname, parts.port, timeout=timeout_s)
    try:
        connection.request("GET", parts.path or "/")
        fine = connection.getresponse().status == HTTPStatus.OK
        return fine and listener_of(parts.port) == os.getuid()
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()
