"""What does an address answer? With the standard library only: importing a full client costs a second."""

from __future__ import annotations

import os
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from urllib.parse import urlsplit

from crucible.gate import listener_of


def answers(url: str, timeout_s: float = 1.0) -> bool:
    """Whether an address of this machine answers 200 within the time, and is this user's.

    Whoever else takes a port before a service of ours has it must not be taken for the service: the
    next request would carry the workspace's password.
    """
    return page(url, timeout_s) is not None


def page(url: str, timeout_s: float = 1.0) -> bytes | None:
    """Give what such an address answers with 200; None where it does not."""
    parts = urlsplit(url)
    try:
        host, port = parts.hostname, parts.port
    except ValueError:  # a port that is no number, or beyond every port
        return None
    if host is None or port is None:
        return None
    connection = HTTPConnection(host, port, timeout=timeout_s)
    try:
        connection.request("GET", parts.path or "/")
        answer = connection.getresponse()
        fine = answer.status == HTTPStatus.OK and listener_of(port) == os.getuid()
        return answer.read() if fine else None
    except (OSError, HTTPException):
        return None
    finally:
        connection.close()
