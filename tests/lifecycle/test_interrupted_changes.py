"""A process that is killed between any two writes of a promotion, a cull or a roll back leaves what finishing leaves.

Every state of a change is on the tracking server and in the ledger, so that a kill is the same as never going on: the
client of the server raises after its n-th write, for every n, and what runs afterwards is a process that knows nothing of it.
"""

import itertools

import pytest

from crucible.ledger.ledger import Ledger
from crucible.lifecycle.judgement import Judged, book, carry_out
from crucible.lifecycle.production import Decision, change_production
from crucible.lifecycle.records import DEPLOYMENTS, Records
from crucible.watchtower.scorecard import score
from crucible.watchtower.verdicts import Verdict
from tests.support.factories import agent_row
from tests.support.seats import context, new_slot, seated

QUARTER = 900_000
WRITES = ("set_", "delete_", "create_", "log_", "update_")


class Killed(BaseException):
    """Nothing of the process runs after this."""


class Client:
    """The tracking server's client, whose process is killed after so many writes."""

    def __init__(self, client, writes):
        self.client, self.left = client, writes

    def __getattr__(self, name):
        call = getattr(self.client, name)
        if not name.startswith(WRITES):
            return call

        def counted(*args, **kwargs):
            answer = call(*args, **kwargs)
            self.left -= 1
            if self.left == 0:
                raise Killed
            return answer

        return counted


def killed_after(made, writes):
    """Have the process of a context killed after so many writes; say whether it came to that."""
    made.registry.__dict__["_client"] = client = Client(made.registry._client, writes)
    return client


def door(made):
    def through(slot, version, action, *, reason, decided_by, evidence, key):
        change_production(made, slot, version, action, Decision(decided_by, reason, key, evidence))

    return through


def state(registry, slot):
    """Everything that says who trades and why, and how the changes of it were recorded."""
    tags = {
        version.version: {
            name: value
            for name, value in version.tags.items()
            if name in {"promoted", "replaced", "retired"}
        }
        for version in registry.versions(slot.name)
    }
    found = registry.other_experiment(DEPLOYMENTS, "").all(f"tags.slot = '{slot.name}'")
    runs = sorted(
        (
            run.info.status,
            *(run.data.tags[name] for name in ("action", "from_version", "to_version", "reason")),
            run.data.metrics.get("trades"),
        )
        for run in found
    )
    return registry.aliases(slot.name), tags, runs


def attempt(registry, slot, tmp_path, verdict, place, version, writes, orders):
    """Carry a verdict out in a process that may be killed; say whether it was."""
    made = context(registry, tmp_path)
    agent = f"{slot.name}@{version}"
    role = ("production", "challenger")[place]
    card = score(agent, QUARTER, [], [], since_ts=0, last_fill_ts=None, largest_loss=0.02, largest_gain=0.02)  # fmt: skip
    with Ledger(made.run.ledger) as ledger:
        row = agent_row(agent, role)
        book(made, ledger, Judged(row, card, Verdict(verdict, "its evidence")))
        if writes:
            killed_after(made, writes)
        try:
            carry_out(made, ledger, door(made), lambda agent, order: orders.append(order))
        except Killed:
            return True
        assert ledger.waiting_verdicts() == []
        return False


@pytest.mark.parametrize("noticed_between", [False, True])
@pytest.mark.parametrize(("verdict", "place"), [("promote", 1), ("cull", 0), ("cull", 1)])
def test_a_verdict_whose_process_is_killed_after_any_write_ends_as_one_that_was_not(
    registry, tmp_path, verdict, place, noticed_between
):
    slot, orders = new_slot(), []
    versions = seated(registry, slot)
    assert not attempt(registry, slot, tmp_path / "0", verdict, place, versions[place], 0, orders)
    whole = state(registry, slot)
    wrong = {}
    for writes in itertools.count(1):
        other = new_slot()
        again = seated(registry, other)
        folder = tmp_path / str(writes)
        ordered = []
        if not attempt(registry, other, folder, verdict, place, again[place], writes, ordered):
            break
        if noticed_between:
            # Singularity may look before the Watchtower has its next turn.
            Records(registry).notice(other.name)
        assert not attempt(registry, other, folder, verdict, place, again[place], 0, ordered)
        Records(registry).notice(other.name)
        if (found := state(registry, other)) != whole or len(ordered) != len(orders):
            wrong[writes] = found
    assert writes > 6
    assert wrong == {}, whole
