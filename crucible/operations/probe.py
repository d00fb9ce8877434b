"""Does an address answer? With the standard library only: importing a full client costs a second."""

from __future__ import annotations

from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from urllib.parse import urlsplit


def answers(url: str, timeout_s: float = 1.0) -> bool:
    """Whether an address answers 200 within the time."""
    parts = urlsplit(url)
    if parts.hostname is None:
        return False
    connection = HTTPConnection(parts.hostname, parts.port, timeout=timeout_s)
    try:
        connection.request("GET", parts.path or "/")
        return connection.getresponse().status == HTTPStatus.OK
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()
