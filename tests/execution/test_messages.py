"""Both languages speak the same wire: every golden vector decodes and re-encodes unchanged."""

import json
from pathlib import Path

import pytest

from crucible.execution import messages
from crucible.execution.messages import (
    WireError,
    decode_command,
    decode_event,
    decode_market,
    decode_reply,
    encode,
)

VECTORS = Path(__file__).parents[2] / "cerebellum_core" / "protocol" / "vectors"
EVENTS = {"order", "fill", "funding", "position", "risk", "state"}
MARKET = {"candle", "top", "book", "levels", "trade", "stale"}
# The name "snapshot" and "replay" stand for a command and for its reply.
REPLIES = {"ack", "error"}


def decoder(value: dict):
    kind = value["type"]
    if kind in EVENTS:
        return decode_event
    if kind in MARKET:
        return decode_market
    if kind in REPLIES or "totals" in value or "events" in value:
        return decode_reply
    return decode_command


@pytest.mark.parametrize("path", sorted(VECTORS.glob("*.json")), ids=lambda path: path.stem)
def test_a_golden_vector_decodes_and_reencodes_to_the_same_value(path: Path):
    value = json.loads(path.read_text())
    message = decoder(value)(path.read_bytes())
    assert json.loads(encode(message)) == value


def test_every_message_of_the_wire_has_a_golden_vector():
    found = set()
    for path in VECTORS.glob("*.json"):
        value = json.loads(path.read_text())
        found.add(type(decoder(value)(path.read_bytes())).__name__)
    families = (
        messages.CommandMessage,
        messages.ReplyMessage,
        messages.JournalEvent,
        messages.MarketMessage,
    )
    wanted = {kind.__name__ for family in families for kind in family.__args__}
    assert wanted - found == set()


@pytest.mark.parametrize(
    ("change", "name"),
    [
        (lambda value: value.pop("qty"), "a missing field"),
        (lambda value: value.update(extra=1), "an extra field"),
        (lambda value: value.update(v=2), "another version"),
        (lambda value: value.update(type="nonsense"), "an unknown type"),
        (lambda value: value.update(qty=1.5), "a size that is not text"),
    ],
    ids=lambda item: item if isinstance(item, str) else "",
)
def test_a_message_that_breaks_the_rules_is_refused_with_a_reason(change, name):
    value = json.loads((VECTORS / "submit.json").read_text())
    change(value)
    with pytest.raises(WireError) as caught:
        decode_command(json.dumps(value).encode())
    assert str(caught.value), name


def test_a_frame_over_the_limit_is_never_sent():
    value = decode_command((VECTORS / "submit.json").read_bytes())
    huge = type(value)(
        **{**{f: getattr(value, f) for f in value.__struct_fields__}, "reason": "x" * 70_000}
    )
    with pytest.raises(WireError, match="over 65536"):
        encode(huge)
