"""Ports on the loopback interface: take a free one, or say who holds the one that is set."""

from __future__ import annotations

import socket

import psutil

from crucible.operations.errors import PortError

HOST = "127.0.0.1"


def claim(port: int, service: str) -> int:
    """Give the port to use: `port` if it is free, any free one if it is 0.

    Raises
    ------
    PortError
        Naming the port, who listens on it where that can be known, and the setting to change.
    """
    with socket.socket() as probe:
        # As servers do; without it a connection that was just closed looks like a taken port.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            setting = f"CRUCIBLE_PORTS__{service.upper()}"
            message = (
                f"port {port} for {service} is taken{_holder(port)}; stop that program, or set "
                f"{setting} to another port (0 takes a free one)"
            )
            raise PortError(message) from error
        return int(probe.getsockname()[1])


def _holder(port: int) -> str:
    try:
        for connection in psutil.net_connections("tcp"):
            if (
                connection.status == psutil.CONN_LISTEN
                and connection.laddr
                and connection.laddr.port == port
                and connection.pid
            ):
                process = psutil.Process(connection.pid)
                return f" by {process.name()} (pid {process.pid})"
    except psutil.Error:
        # Some systems show other people's sockets to the administrator only.
        return ""
    return ""
