"""The tutorial, carried out: each of its commands in its order against one stack, and each prints what the page shows."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from crucible.errors import CrucibleError
from crucible.ledger.reader import LedgerReader
from crucible.operations.supervision.ownership import address_of
from crucible.operations.supervision.process import marked
from crucible.operations.workspace import Workspace
from crucible.registry.models import Registry
from tests.support.markdown import Block, blocks_of, not_shown
from tests.support.polling import until
from tests.support.processes import REPOSITORY
from tests.support.product import environment_of

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(2_700)]

TUTORIAL = "docs/tutorial/first-hour.md"
SERVICE = "docs/how-to/run-it-as-a-service.md"
SLOT = "BTCUSDT-gp-1"
# What sets up the clone that these tests already run in; another environment may run them.
SETS_UP = ("make setup", "source .venv/bin/activate")
PATIENCE_S = 900.0
# These wait for an end; while all tests run it takes longer to come than a person would wait.
WAITS = re.compile(r"^(crucible (?:promote|rollback|down)\b.*)$", re.MULTILINE)


class Newcomer:
    """Somebody who reads a page and types what it says."""

    def __init__(self, folder: Path) -> None:
        self.workspace = Workspace.at(folder / "workspace")
        paths = (str(Path(sys.executable).parent), os.environ["PATH"])
        self.environment = environment_of(
            self.workspace.path,
            PATH=os.pathsep.join(paths),
            PYTHONPATH=REPOSITORY,
            # One slot, so that nothing else is forged meanwhile; all else is as a newcomer has it.
            CRUCIBLE_DEPLOYMENT=json.dumps({"BTCUSDT": {"gp": 1}}),
            BACKUP=folder / "backup.tar.gz",
            RESTORED=folder / "restored",
        )

    def types(self, block: Block) -> str:
        """Carry out a block; give what it printed. It must end well."""
        lines = block.text.splitlines()
        if not (REPOSITORY / ".venv/bin/python").exists():
            lines = [line for line in lines if line not in SETS_UP]
        script = WAITS.sub(rf"\1 --wait {PATIENCE_S:g}", "\n".join(lines))
        if re.search(r"\bORDER\b", script):
            script = re.sub(r"\bORDER\b", self.order(), script)
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script],
            cwd=REPOSITORY,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=2 * PATIENCE_S,
            check=False,
        )
        assert done.returncode == 0, f"{block.heading}: {script}\n{done.stdout}"
        return done.stdout

    def follows(self, blocks: list[Block]) -> None:
        """Type every command, and find in what it prints what the page shows after it."""
        printed, heading = "", ""
        for block in blocks:
            if block.heading != heading and block.heading in READY:
                READY[block.heading](self)
            heading = block.heading
            if block.language == "sh":
                printed = self.types(block)
            elif block.language == "text":
                missing = not_shown(block.text, printed)
                assert not missing, f"{block.heading}: not printed: {missing}\n{printed}"

    def registry(self) -> Registry:
        return Registry(address_of(self.workspace, "mlflow"), self.workspace.proof_key())

    def version(self, alias: str) -> str:
        with suppress(CrucibleError):
            return self.registry().aliases(SLOT).get(alias, "")
        return ""

    def agent(self, version: str) -> str:
        """The slot's agent of a version, once the arena trades it; empty before."""
        run, name = self.workspace.current(), f"{SLOT}@{version}"
        # The ledger may be being made.
        with suppress(CrucibleError):
            if run is not None:
                with LedgerReader(run.ledger) as ledger:
                    return next((row.agent for row in ledger.agents() if row.agent == name), "")
        return ""

    def order(self) -> str:
        """An order of the slot's production, as `crucible explain` names its last one; empty where there is none yet."""
        run = self.workspace.current()
        # The ledger may be being made.
        with suppress(CrucibleError):
            if run is not None:
                with LedgerReader(run.ledger) as ledger:
                    rows = [row for row in ledger.agents() if row.role == "production"]
                    return next((one for row in rows for one in ledger.orders(row.agent)), "")
        return ""

    def log(self) -> str:
        logs = sorted(self.workspace.logs.glob("*.log"))
        return "\n".join(
            f"--- {log.name}\n{log.read_text(errors='replace')[-2_000:]}" for log in logs
        )

    def waits(self, what: str, done: Callable[[], object]) -> None:
        until(done, lambda: f"{what}\n{self.log()}", seconds=PATIENCE_S, pause=2.0)


# What the page tells a person to wait for, by the heading under which it does.
READY: dict[str, Callable[[Newcomer], None]] = {
    "5. Read what it found": lambda one: one.waits(
        "an agent in production", lambda: one.agent(one.version("production"))
    ),
    "6. Ask why an order was sent": lambda one: one.waits("an order", one.order),
    "8. Change what trades": lambda one: one.waits(
        "a challenger", lambda: one.version("challenger")
    ),
}


@pytest.fixture(scope="module")
def newcomer(tmp_path_factory) -> Iterator[Newcomer]:
    """A person on a workspace and ports of their own; whatever was started is gone in the end."""
    one = Newcomer(tmp_path_factory.mktemp("first-hour"))
    yield one
    with suppress(AssertionError, subprocess.TimeoutExpired):
        one.types(Block("the end", "sh", "crucible down"))
    for left in marked(one.workspace.path):
        os.kill(left.pid, signal.SIGKILL)


def test_each_command_of_the_tutorial_prints_what_the_page_shows(newcomer):
    blocks = blocks_of(TUTORIAL)
    assert set(READY) <= {block.heading for block in blocks}
    newcomer.follows(blocks)
    assert marked(newcomer.workspace.path) == []


def test_a_backup_made_as_the_page_says_gives_the_same_report_elsewhere(newcomer):
    if newcomer.workspace.current() is None:
        pytest.skip(
            "nothing has run in this workspace: the test before this one makes what is kept"
        )
    saved = [block for block in blocks_of(SERVICE) if block.heading == "Back it up"]
    assert len(saved) == 2
    for block in saved:
        assert block.language == "sh"
        newcomer.types(block)
    there = newcomer.types(Block("", "sh", 'CRUCIBLE_HOME="$RESTORED" crucible report --json'))
    here = newcomer.types(Block("", "sh", "crucible report --json"))
    reports = [json.loads(text) for text in (there, here)]
    # Figures that need candles come back with them, at the next start.
    for report in reports:
        assert report.pop("figures")
    assert reports[0] == reports[1]
    assert reports[1]["books_agree"] is True
