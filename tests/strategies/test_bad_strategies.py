"""Every row about strategies of docs/reference/bad-input.md: one clear line, whatever the file holds."""

import contextlib
import io
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crucible import cli
from crucible.errors import StrategyError
from crucible.features.frame import FeatureFrame, FeatureSchema
from crucible.forge.reporting.explain import explain_file
from crucible.strategies.document import DEEPEST, LARGEST_FILE, MOST_VALUES, parse_document
from crucible.strategies.load import load_strategy, read_strategy
from crucible.testing.programs import programs
from tests.support.documented import answers, lacking

SCHEMA = FeatureSchema(("x", "y"), {})
GOOD: dict[str, Any] = {
    "format": "crucible.strategy/1",
    "kind": "gp",
    "slot": "BTCUSDT-gp-1",
    "symbol": "BTCUSDT",
    "schema_hash": SCHEMA.hash,
    "features": ["x"],
    "exits": {"stop": 0.01, "target": 0.02, "timeout": 60},
    "program": ["trade", ["gt", "x", 1.0], ["lt", "x", 0.0]],
}
DIGITS = "9" * 400


def with_(**changes: object) -> str:
    return json.dumps({**GOOD, **changes})


def buying(condition: object, **changes: object) -> str:
    return with_(program=["trade", condition, ["lt", "x", 0.0]], **changes)


def exits(**changes: object) -> str:
    return with_(exits={**GOOD["exits"], **changes})


def nested(levels: int, innermost: str = '["gt", "x", 1]') -> str:
    return '["not", ' * levels + innermost + "]" * levels


def wide(levels: int) -> list[object]:
    """Add 2 ** levels features."""
    return ["add", wide(levels - 1), wide(levels - 1)] if levels else "x"  # type: ignore[list-item]


PROGRAM = json.dumps(GOOD["program"])
CASES: dict[str, tuple[str | bytes | Callable[[], str], str]] = {
    "not-json": ("{", "not JSON"),
    "empty": ("", "not JSON"),
    "not-text": (b"\xff\xfe\x00", "not JSON"),
    "not-object": ("[]", "a strategy is a JSON object, not list"),
    "too-large": (lambda: with_(lineage={"x": "y" * LARGEST_FILE}), f"more than {LARGEST_FILE}"),
    "too-many-values": (
        lambda: with_(lineage={"x": [0] * MOST_VALUES}),
        f"more than {MOST_VALUES} values",
    ),
    "deep-list": (lambda: with_().replace(PROGRAM, "[" * 100_000), "nested deeper than"),
    "deep-object": (
        lambda: with_(lineage=0).replace(
            '"lineage": 0', '"lineage": ' + '{"a":' * DEEPEST + "0" + "}" * DEEPEST
        ),
        f"nested deeper than {DEEPEST}",
    ),
    "deep-program": (
        with_().replace(PROGRAM, f'["trade", {nested(50)}, ["lt", "x", 0]]'),
        "deeper than 40 operators",
    ),
    "deeper-program": (
        with_().replace(PROGRAM, f'["trade", {nested(5_000)}, ["lt", "x", 0]]'),
        "nested deeper than",
    ),
    "large-program": (buying(["gt", wide(9), 0]), "more than 400"),
    "long-constant": (with_().replace("1.0", DIGITS), "a whole number of 1329 bits"),
    "longer-constant": (with_().replace("1.0", "9" * 10_000), "not JSON"),
    "infinite-constant": (with_().replace("1.0", "1e400"), "not a finite number"),
    "constant-beyond-single-precision": (buying(["gt", "x", 1e39]), "nor a finite number"),
    "not-a-number": (with_().replace("1.0", "NaN"), "NaN"),
    "infinity": (with_().replace("1.0", "-Infinity"), "-Infinity"),
    "long-exit": (exits().replace("0.02", DIGITS), "exits.target"),
    "long-timeout": (exits().replace("60", DIGITS), "exits.timeout"),
    "infinite-exit": (exits().replace("0.02", "1e999"), "exits.target: inf"),
    "stop-of-nothing": (exits(stop=0), "exits.stop: 0"),
    "stop-beyond-price": (exits(stop=1.5), "exits.stop: 1.5"),
    "timeout-of-nothing": (exits(timeout=0), "exits.timeout: 0"),
    "exit-as-text": (exits(stop="0.01"), "exits.stop"),
    "exit-unknown": (exits(trail=0.1), "trail"),
    "half-character": (buying(["gt", "\ud800", 1]), "half of a character"),
    "half-character-in-a-name": (with_(**{"\udfff": 1}), "half of a character"),
    "escape-sequence": (with_(symbol="\x1b[2J"), r"\x1b"),
    "line-in-a-slot": (with_(slot="BTCUSDT-gp-1\n"), "cannot be printed"),
    "slot-of-a-large-number": (with_(slot="BTCUSDT-gp-" + "9" * 150), "slot"),
    "field-twice": (with_().replace('{"format"', '{"kind": "gp", "format"'), "kind: given twice"),
    "field-missing": (json.dumps({k: v for k, v in GOOD.items() if k != "exits"}), "exits"),
    "field-unknown": (with_(extra=1), "extra"),
    "field-as-null": (with_(symbol=None), "symbol"),
    "other-format": (with_(format="other/9"), "format: 'other/9'"),
    "other-kind": (with_(kind="oracle"), "oracle"),
    "other-symbol": (with_(symbol="ETHUSDT"), "does not agree with symbol ETHUSDT"),
    "other-features": (with_(features=["y"]), "are not those the program reads"),
    "features-as-text": (with_(features="x"), "features"),
    "features-as-lists": (with_(features=[["x"]]), "features.0"),
    "feature-long": (buying(["gt", "x" * 300, 1]), "a text of 300 characters"),
    "operator-unknown": (buying(["explode", "x"]), "unknown operator 'explode'"),
    "operator-none": (buying([]), "unknown operator None"),
    "operator-as-list": (buying([["gt"], "x", 1]), "unknown operator list"),
    "operator-as-object": (buying({"gt": 1}), "stands where a boolean is wanted"),
    "arguments-missing": (buying(["gt", "x"]), "gt takes 2 arguments"),
    "argument-of-other-type": (buying("x"), "a boolean is wanted"),
    "argument-of-truth": (buying(["gt", "x", True]), "nor a finite number"),
    "lookback-short": (buying(["gt", ["mean", "x", 1], 0]), "lookback 1 is not"),
    "lookback-long": (buying(["gt", ["mean", "x", 241], 0]), "lookback 241 is not"),
    "lookback-long-number": (
        buying(["gt", ["mean", "x", 12.0], 0]).replace("12.0", DIGITS),
        "a whole number of 1329 bits",
    ),
    "lookback-broken": (buying(["gt", ["mean", "x", 2.5], 0]), "lookback 2.5 is not"),
    "unknown-feature": (
        buying(["gt", "nowhere", 1], features=["nowhere", "x"]),
        "feature 'nowhere' is not in schema",
    ),
    "model-in-a-program": (with_(model="tree"), "refused by the strategy schema"),
    "model-not-one": (
        json.dumps(
            {
                **{name: value for name, value in GOOD.items() if name != "program"},
                "kind": "boosted",
                "slot": "BTCUSDT-boosted-1",
                "buy_at": 0.6,
                "exit_at": 0.4,
                "model": "tree\nnonsense",
            }
        ),
        "model: line 2, 'nonsense'",
    ),
}


def data_of(case: str) -> bytes:
    content = CASES[case][0]
    content = content if isinstance(content, str | bytes) else content()
    return content.encode() if isinstance(content, str) else content


# The cases that stand behind each row of the reference's table; what is no name is a file of its own.
ROWS: dict[str, list[str | bytes | Callable[[Path], object]]] = {
    "not-json": ["not-json", "empty", "not-text", "longer-constant", Path.mkdir, lambda path: None],
    "no-object": ["not-object", b"3", b"null"],
    "other-format": ["other-format", b"{}"],
    "too-large": ["too-large", "too-many-values"],
    "too-deep": ["deep-list", "deep-object", "deeper-program"],
    "program-too-deep": ["deep-program"],
    "program-too-large": ["large-program"],
    "not-finite": ["infinite-constant", "not-a-number", "infinity", "infinite-exit"],
    "beyond-64-bits": ["long-constant", "long-exit", "long-timeout", "lookback-long-number"],
    "beyond-single-precision": ["constant-beyond-single-precision"],
    "half-character": ["half-character", "half-character-in-a-name"],
    "not-printable": ["escape-sequence", "line-in-a-slot"],
    "long-text": ["feature-long"],
    "field-twice": ["field-twice"],
    "field-wrong": [
        "field-missing", "field-unknown", "field-as-null", "other-kind", "exit-as-text",
        "exit-unknown", "features-as-text", "features-as-lists", "model-in-a-program",
    ],
    "exit-out-of-range": ["stop-of-nothing", "stop-beyond-price", "timeout-of-nothing"],
    "other-symbol": ["other-symbol"],
    "other-features": ["other-features"],
    "unknown-feature": ["unknown-feature"],
    "unknown-operator": ["operator-unknown", "operator-none", "operator-as-list"],
    "wrong-count": ["arguments-missing"],
    "wrong-type": ["argument-of-other-type", "operator-as-object"],
    "no-lookback": ["lookback-short", "lookback-long", "lookback-broken"],
    "altered-model": ["model-not-one"],
}  # fmt: skip
PROMISED = answers("Strategies")


@pytest.mark.parametrize("row", sorted(set(PROMISED) | set(ROWS)))
def test_a_bad_strategy_gets_what_the_reference_says(row, tmp_path):
    for number, content in enumerate(ROWS[row]):
        path = tmp_path / f"{number}.json"
        if callable(content):
            content(path)
        else:
            path.write_bytes(data_of(content) if isinstance(content, str) else content)
        with pytest.raises(StrategyError) as caught:
            use(path)
        assert lacking(PROMISED[row], str(caught.value)) == []


def use(path: Path) -> None:
    """Read a strategy and ask it for the signals of one row, as every command does."""
    strategy = read_strategy(path)
    strategy.signals(FeatureFrame("BTCUSDT", np.array([60_000]), np.zeros((1, 2)), SCHEMA))


@pytest.mark.parametrize("case", sorted(CASES.keys() - {"unknown-feature"}))
def test_a_bad_file_is_refused_in_one_line_that_names_it(tmp_path, case):
    path = tmp_path / "bad.json"
    path.write_bytes(data_of(case))
    with pytest.raises(StrategyError, match=re.escape(CASES[case][1])) as refused:
        read_strategy(path)
    text = str(refused.value)
    assert text.startswith(str(path))
    assert text.isprintable()
    assert len(text) < len(str(path)) + 500


@pytest.mark.parametrize("words", [("explain",), ("backtest", "--candles", "none")])
@pytest.mark.parametrize("case", ["deeper-program", "long-constant", "half-character"])
def test_a_command_tells_a_bad_file_in_one_line(tmp_path, monkeypatch, case, words):
    path = tmp_path / "bad.json"
    path.write_bytes(data_of(case))
    monkeypatch.setenv("CRUCIBLE_HOME", str(tmp_path))
    monkeypatch.setattr(sys, "argv", ["crucible", words[0], str(path), *words[1:]])
    reported = io.StringIO()
    with contextlib.redirect_stderr(reported), pytest.raises(SystemExit) as ended:
        cli.main()
    assert ended.value.code == 1
    assert reported.getvalue().startswith(f"crucible: {path}: ")
    assert reported.getvalue().count("\n") == 1
    assert CASES[case][1] in reported.getvalue()


@pytest.mark.parametrize(
    "lineage",
    [{"gates": 5}, {"gates": [{}]}, {"importance": [[1]]}, {"importance": [{"gain": "x"}]}],
)
def test_a_lineage_that_cannot_be_told_is_one_line_and_hinders_no_trading(tmp_path, lineage):
    path = tmp_path / "odd.json"
    path.write_text(with_(lineage=lineage))
    read_strategy(path)
    with pytest.raises(StrategyError, match="lineage: not what a forge run writes"):
        explain_file(path)


def test_a_feature_that_is_not_served_is_named_live_too():
    strategy = load_strategy(json.loads(data_of("unknown-feature")))
    row = FeatureFrame("BTCUSDT", np.array([60_000]), np.zeros((1, 2)), SCHEMA).row(0)
    with pytest.raises(StrategyError, match="'nowhere' is not in schema"):
        strategy.decide(row)


JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.just(10**400)
    | st.floats()
    | st.text(st.characters(codec=None))
    | st.sampled_from(["x", "gt", "trade", "mean", "\ud800", "BTCUSDT"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@settings(max_examples=300, deadline=None)
@given(st.sampled_from(sorted(GOOD)), JSON_VALUES, st.booleans())
def test_a_field_with_anything_in_it_is_taken_or_refused(name, value, inside):
    document = {**GOOD, name: value}
    if inside and isinstance(GOOD[name], list):
        document[name] = [*GOOD[name][:-1], value]
    try:
        strategy = load_strategy(document)
    except StrategyError as error:
        refused = str(error)
    else:
        refused = ""
        assert load_strategy(json.loads(json.dumps(strategy.to_json()))).warmup >= 1
    assert len(refused) < 600
    assert refused.isprintable()


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_bytes_that_were_changed_are_taken_or_refused(data):
    text = json.dumps({**GOOD, "program": data.draw(programs(("x", "y")))}).encode()
    place = data.draw(st.integers(0, len(text)))
    length = data.draw(st.integers(0, 12))
    changed = text[:place] + data.draw(st.binary(max_size=12)) + text[place + length :]
    with contextlib.suppress(StrategyError):
        load_strategy(parse_document(changed))
