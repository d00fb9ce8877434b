"""Latencies as Cerebellum exports them."""

from __future__ import annotations

from crucible.dashboard.views.execution import latencies

EXPORTED = """
cerebellum_rest_seconds{path="/v5/market/time",quantile="0.5"} 0.0004
cerebellum_rest_seconds{path="/v5/market/time",quantile="0.99"} NaN
cerebellum_rest_seconds_count{path="/v5/market/time"} 3
cerebellum_rest_seconds{path="/v5/position/switch-mode",quantile="0.5"} 0
cerebellum_rest_seconds_count{path="/v5/position/switch-mode"} 2
"""


def test_what_was_not_measured_lately_has_no_latency_and_is_still_counted():
    lately, before = latencies(EXPORTED)
    assert (lately["ms"]["0.5"], lately["ms"]["0.99"], lately["count"]) == (0.4, None, 3)
    assert set(before["ms"].values()) == {None}
    assert before["count"] == 2
