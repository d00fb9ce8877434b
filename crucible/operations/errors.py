"""What can go wrong while operating the stack; each message ends with the next step."""

from __future__ import annotations

from crucible.errors import CrucibleError


class OperationsError(CrucibleError, RuntimeError):
    """A fault of the operator's environment: a file, a port, a process, a server."""


class WorkspaceError(OperationsError):
    """``CRUCIBLE_HOME`` cannot be used as asked."""


class AlreadyRunningError(OperationsError):
    """Another ``crucible up`` owns this workspace."""


class PortError(OperationsError):
    """A port that a service needs is taken."""


class ServiceError(OperationsError):
    """A service did not start, or ended by itself."""


class ServerError(OperationsError):
    """A server answered with an error, or not at all."""


class BooksError(OperationsError):
    """A book (venue, journal or ledger) cannot be read."""
