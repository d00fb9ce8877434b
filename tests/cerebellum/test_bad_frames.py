"""Frames that are no commands: each gets its error, and the process lives on."""

import json

import pytest

from tests.cerebellum.client import Cerebellum

pytestmark = pytest.mark.timeout(60)


def test_every_bad_frame_gets_its_code_and_hurts_nobody(cerebellum: Cerebellum) -> None:
    client = cerebellum.client
    good = {"v": 1, "type": "heartbeat", "ts": 0, "request_id": "r"}
    cases = [
        (b"", "bad_json"),
        (b"{", "bad_json"),
        (b"[1]", "bad_json"),
        (b"\xff\xfe\x00", "bad_json"),
        (b" " * (64 * 1024 + 1), "too_large"),
        (json.dumps({**good, "v": 2}).encode(), "bad_version"),
        (json.dumps({**good, "type": "buy"}).encode(), "unknown_type"),
        (json.dumps({**good, "extra": 1}).encode(), "bad_field"),
        (json.dumps({**good, "ts": None}).encode(), "bad_field"),
        (b'{"v":1,"type":"heartbeat","ts":NaN,"request_id":"r"}', "bad_json"),
        (json.dumps({"v": 1, "type": "heartbeat", "ts": 0}).encode(), "bad_field"),
    ]
    for frame, code in cases:
        reply = client.raw(frame)
        assert (reply["type"], reply["code"]) == ("error", code), frame[:60]
        assert reply["text"]
    assert client.raw(b"{}", b"{}")["code"] == "bad_json"
    assert client.raw(json.dumps(good).encode())["status"] == "accepted"
    assert cerebellum.process.poll() is None
