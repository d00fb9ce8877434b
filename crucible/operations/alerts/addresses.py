"""Where alerts go: addresses from the environment or from a file that only its owner can open.

An address holds a password or a token, as a rule. Whatever is shown of one is its number and its schema.
"""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import SecretStr

from crucible.operations.errors import WorkspaceError
from crucible.settings import AlertSettings


@dataclass(frozen=True, slots=True)
class Address:
    """One address.

    Attributes
    ----------
    number : int
        From 1 on, in the order of the settings.
    url : SecretStr
    """

    number: int
    url: SecretStr = field(repr=False)

    @property
    def name(self) -> str:
        """What may be shown of it."""
        schema = self.url.get_secret_value().partition("://")[0]
        known = schema if schema.isascii() and schema.isalnum() and len(schema) <= 20 else "unknown"
        return f"address {self.number} ({known})"

    @property
    def digest(self) -> str:
        """Tells it from others in the run's folder, without holding it."""
        return hashlib.sha256(self.url.get_secret_value().encode()).hexdigest()[:16]


def read_addresses(settings: AlertSettings) -> list[Address]:
    """Give every address of the settings, each once.

    Raises
    ------
    WorkspaceError
        If the file of addresses cannot be read, is not its owner's alone, or a line of it is no address.
    """
    urls = [url.get_secret_value().strip() for url in settings.urls]
    if settings.urls_file is not None:
        urls += _of_file(settings.urls_file)
    return [Address(number, SecretStr(url)) for number, url in enumerate(dict.fromkeys(urls), 1)]


def _of_file(path: Path) -> list[str]:
    try:
        with path.open(encoding="utf-8") as file:
            held = os.fstat(file.fileno())
            text = file.read()
    except (OSError, UnicodeDecodeError) as error:
        said = getattr(error, "strerror", None) or "no UTF-8"
        message = f"alerts.urls_file {path}: cannot be read: {said}; make it a text file of yours"
        raise WorkspaceError(message) from None
    if not stat.S_ISREG(held.st_mode) or held.st_uid != os.getuid() or held.st_mode & 0o077:
        message = (
            f"alerts.urls_file {path}: others may read it, and it holds secrets: chmod 600 {path}"
        )
        raise WorkspaceError(message)
    lines = [line.strip() for line in text.splitlines()]
    urls = [line for line in lines if line and not line.startswith("#")]
    for number, line in enumerate(lines, 1):
        if line and not line.startswith("#") and "://" not in line:
            message = f"alerts.urls_file {path}: line {number} is no address; write SCHEMA://..., one a line"
            raise WorkspaceError(message)
    return urls
