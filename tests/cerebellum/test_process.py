"""Starting, refusing, stopping: one clear line for each bad setting, and no secret anywhere."""

import json
import os
import subprocess
import time
from pathlib import Path

import pytest
import requests

from tests.cerebellum.client import Cerebellum
from tests.cerebellum.conftest import SYMBOLS
from tests.support.processes import binary, cerebellum_command

pytestmark = [pytest.mark.process, pytest.mark.timeout(60)]


def refused(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode != 0
    assert not done.stdout
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, done.stderr
    return lines[0]


def changed(command: list[str], flag: str, value: str) -> list[str]:
    if flag in command:
        command[command.index(flag) + 1] = value
        return command
    return [*command, flag, value]


def test_the_ready_line_tells_every_address(cerebellum: Cerebellum, folder: Path) -> None:
    ready = cerebellum.ready
    assert ready["event"] == "ready"
    assert ready["commands"].startswith("ipc://")
    assert ready["symbols"] == SYMBOLS.split(",")
    assert (folder / "s").stat().st_mode & 0o777 == 0o700
    cerebellum.client.now()
    page = requests.get(ready["metrics"], timeout=5).text
    assert "cerebellum_commands_total" in page


def test_metrics_are_told_to_programs_here_and_not_to_pages_of_others(
    cerebellum: Cerebellum,
) -> None:
    url = cerebellum.ready["metrics"]
    own = url.removesuffix("/metrics")
    port = own.rsplit(":", 1)[1]

    def status(path: str = "/metrics", **headers: str) -> int:
        return requests.get(own + path, headers=headers, timeout=5).status_code

    assert status() == 200
    assert status(Host=f"localhost:{port}") == 200
    assert status(Origin=own) == 200
    for host in (f"rebound.example:{port}", "rebound.example", f"127.0.0.1.rebound.example:{port}"):
        assert status(Host=host) == 403, host
        assert status("/", Host=host) == 403, host
    for origin in ("https://rebound.example", "null", f"http://localhost:{port}", own + "0"):
        assert status(Origin=origin) == 403, origin


def test_a_stop_is_in_order_and_within_five_seconds(cerebellum: Cerebellum) -> None:
    cerebellum.client.submit("a", "buy", "0.010")
    begun = time.monotonic()
    assert cerebellum.stop() == 0
    assert time.monotonic() - begun < 5
    assert cerebellum.verify()["ok"]


def test_keys_are_in_no_log_and_in_no_file(
    cerebellum: Cerebellum, folder: Path, keys: Path
) -> None:
    ack = cerebellum.client.submit("a", "buy", "0.010")
    cerebellum.client.until_order(ack["intent"], "filled")
    cerebellum.stop()
    entry = json.loads(keys.read_text())[0]
    for path in folder.rglob("*"):
        if path.is_file() and path != keys and path.name != "venue.log":
            content = path.read_bytes()
            assert entry["secret"].encode() not in content, path
            assert entry["key"].encode() not in content, path


@pytest.mark.parametrize(
    ("flag", "value", "reported"),
    [
        ("--commands", "tcp://0.0.0.0:5555", "tunnel"),
        ("--rest", "https://api.bybit.com", "loopback"),
        ("--run-folder", "x" * 120, "107"),
        ("--symbols", "btcusdt", "--symbols"),
        ("--metrics", "0.0.0.0:9100", "loopback"),
        ("--keys", "/nonexistent/keys.json", "--keys"),
        ("--limits", "/nonexistent/limits.toml", "--limits"),
    ],
)
def test_a_bad_setting_is_one_clear_line(
    folder: Path, keys: Path, flag: str, value: str, reported: str
) -> None:
    venue = {"rest": "http://127.0.0.1:9", "ws": "ws://127.0.0.1:9"}
    command = changed(cerebellum_command(folder, keys, SYMBOLS, venue), flag, value)
    assert reported in refused(command)


def test_real_money_and_loose_rights_are_refused(folder: Path, keys: Path) -> None:
    venue = {"rest": "http://127.0.0.1:9", "ws": "ws://127.0.0.1:9"}
    command = cerebellum_command(folder, keys, SYMBOLS, venue)
    assert "real money" in refused(changed(command.copy(), "--venue", "live"))
    keys.chmod(0o644)
    assert "chmod 600" in refused(command.copy())
    keys.chmod(0o600)
    (folder / "s").chmod(0o755)
    assert "chmod 700" in refused(command.copy())


def test_a_second_cerebellum_on_the_same_journal_is_refused(
    cerebellum: Cerebellum, folder: Path
) -> None:
    command = changed(cerebellum.command.copy(), "--run-folder", str(folder / "t"))
    assert "in use" in refused(command)
    assert "in use" in refused(cerebellum.command)


def test_help_explains_every_flag() -> None:
    text = subprocess.run(
        [binary("cerebellum"), "--help"], capture_output=True, text=True, timeout=10, check=True
    ).stdout
    for flag in (
        "--venue",
        "--journal",
        "--deadman-ms",
        "--limits",
        "--run-folder",
        "verify-journal",
    ):
        assert flag in text


def test_settings_come_from_a_file_too(folder: Path, keys: Path, venue: dict) -> None:
    (folder / "limits.toml").write_text('[order]\nmax_notional = "1000"\n')
    (folder / "s").mkdir(mode=0o700)
    (folder / "cerebellum.toml").write_text(
        f"""
venue = "paper"
rest = "{venue["rest"]}"
ws = "{venue["ws"]}"
keys = "{keys}"
journal = "{folder / "journal.sqlite"}"
symbols = ["BTCUSDT"]
run_folder = "{folder / "s"}"
limits = "{folder / "limits.toml"}"
commands = "tcp://127.0.0.1:0"
"""
    )
    one = Cerebellum([binary("cerebellum"), "--config", str(folder / "cerebellum.toml")], folder)
    try:
        assert one.ready["commands"].startswith("tcp://127.0.0.1:")
        assert not one.ready["commands"].endswith(":0")
        ack = one.client.submit("a", "buy", "1.000")
        assert (ack["status"], ack["code"]) == ("rejected", "limit_notional")
        (folder / "limits.toml").write_text('[order]\nmax_notional = "1000000"\n')
        os.kill(one.process.pid, 1)
        one.client.until(lambda e: e["type"] == "risk" and e["code"] == "limits_changed")
        assert one.client.submit("a", "buy", "0.010")["status"] == "accepted"
    finally:
        assert one.stop() == 0
