"""A taken port is named, with its holder and the setting to change."""

import os
import socket

import pytest

from crucible.operations.errors import PortError
from crucible.operations.supervision.ports import HOST, claim


def test_a_taken_port_names_itself_its_holder_and_the_setting():
    with socket.socket() as taken:
        taken.bind((HOST, 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(PortError) as refusal:
            claim(port, "prefect")
    message = str(refusal.value)
    assert str(port) in message
    assert f"pid {os.getpid()}" in message
    assert "CRUCIBLE_PORTS__PREFECT" in message


def test_zero_takes_a_free_port():
    port = claim(0, "mlflow")
    assert port > 0
    assert claim(port, "mlflow") == port
