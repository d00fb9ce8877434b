"""The candles of the default paper market hold the rules that the venue prints, when it prints them."""

import subprocess
from pathlib import Path

import numpy as np
import pytest

from benchmarks.learnable import learn
from crucible.market.candles import Candles, Floats
from crucible.settings import MINUTE_MS
from crucible.testing.learnable import HOLD, RULES, Spell, held, oracle, pushed, rule_signal
from crucible.vm.signals import Signal
from tests.support.paper_venue import candles_of, printed_rules, start
from tests.support.processes import DAY_MS, ORIGIN_MS, binary

SYMBOLS = ("BTCUSDT", "ETHUSDT")
SEED, DAYS = 7, 60


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Candles]:
    """Sixty days of the default market of seed 7, through the venue's own REST."""
    end_ms = ORIGIN_MS + DAYS * DAY_MS
    venue = start(
        tmp_path_factory.mktemp("venue"), "--seed", str(SEED), "--origin", str(ORIGIN_MS),
        "--start", str(end_ms), "--stepped", "--symbols", ",".join(SYMBOLS), "--address-limit", "0",
    )  # fmt: skip
    try:
        return {symbol: candles_of(venue, symbol, ORIGIN_MS, end_ms) for symbol in SYMBOLS}
    finally:
        venue.stop()


@pytest.fixture(scope="module")
def spells() -> list[Spell]:
    return printed_rules(SEED, ORIGIN_MS, DAYS, SYMBOLS)


def planted(market: dict[str, Candles], spells: list[Spell], symbol: str) -> tuple[Floats, Floats]:
    """Return that the printed rules add to each minute, and whether any is turned."""
    other = market[next(name for name in SYMBOLS if name != symbol)]
    total, turned = np.zeros((2, len(market[symbol])))
    for rule in RULES:
        strength = held(spells, symbol, rule, market[symbol])
        moves = pushed(rule_signal(rule, market[symbol], other)) * strength
        total += moves / HOLD
        turned += (moves != 0) & (strength < 0)
    return total, turned


@pytest.mark.process
@pytest.mark.parametrize("symbol", SYMBOLS)
def test_the_candles_hold_what_the_printed_schedule_states(
    market: dict[str, Candles], spells: list[Spell], symbol: str
):
    closes = market[symbol].close
    returns = np.diff(closes, prepend=market[symbol].open[0]) / np.concatenate(
        [market[symbol].open[:1], closes[:-1]]
    )
    total, turned = planted(market, spells, symbol)
    for among, tolerance in ((turned == 0, 0.2), (turned > 0, 0.4)):
        minutes = among & (total != 0)
        slope = np.dot(total[minutes], returns[minutes]) / np.dot(total[minutes], total[minutes])
        assert slope == pytest.approx(1, abs=tolerance)


@pytest.mark.process
def test_the_forge_proves_a_version_from_the_first_month_that_loses_when_its_rule_has_turned(
    market: dict[str, Candles], spells: list[Spell]
):
    answer = learn("BTCUSDT", {s: one[: 45 * 1_440] for s, one in market.items()}, spells, seed=1)
    assert answer.registered
    assert answer.before > 0 > answer.after


@pytest.mark.process
def test_a_rule_of_every_symbol_ends_on_the_first_day_while_two_others_hold(spells: list[Spell]):
    history = ORIGIN_MS + 35 * DAY_MS
    for symbol in SYMBOLS:
        own = [spell for spell in spells if spell.symbol == symbol and spell.strength > 0]
        ended = [spell for spell in own if history < spell.off_ts < history + DAY_MS]
        assert len(ended) == 1
        assert ended[0].on_ts == ORIGIN_MS
        end_ms = ended[0].off_ts
        assert sum(spell.on_ts <= end_ms < spell.off_ts for spell in own) == 2


@pytest.mark.process
@pytest.mark.parametrize(
    ("flags", "named"),
    [
        (["--rules", "learnabel"], ["learnabel", "learnable", "none"]),
        (["--print-rules", "30"], ["--print-rules", "--origin"]),
        (["--market", "replay", "--candles", ".", "--rules", "none"], ["--rules", "simulated"]),
    ],
)
def test_what_cannot_be_meant_is_refused_with_the_setting_and_the_choices(
    flags: list[str], named: list[str]
):
    asked = subprocess.run(
        [binary("paper_venue"), *flags], capture_output=True, text=True, check=False, timeout=30
    )
    assert asked.returncode == 2
    assert all(word in asked.stderr for word in named)


@pytest.mark.process
def test_a_file_of_settings_names_the_rules_and_refuses_others(tmp_path: Path):
    file = tmp_path / "venue.toml"
    command = [binary("paper_venue"), "--config", str(file), "--origin", "0", "--print-rules", "9"]
    answers = {}
    for value in ("learnable", "none", "some"):
        file.write_text(f'rules = "{value}"\n')
        answers[value] = subprocess.run(command, capture_output=True, text=True, check=False)
    assert answers["learnable"].stdout.count("\n") > 0
    assert (answers["none"].returncode, answers["none"].stdout) == (0, "")
    assert answers["some"].returncode == 2
    assert all(word in answers["some"].stderr for word in ("some", "learnable", "none"))


def one_way(step: float, count: int = 400) -> Candles:
    """Closes that go up by `step` in the last fifteen minutes, after a restless time."""
    rng = np.random.default_rng(3)
    closes = 100 + np.cumsum(rng.normal(0, 0.05, count))
    closes[-15:] = closes[-16] + step * np.arange(1, 16)
    opens = np.concatenate([[100.0], closes[:-1]])
    ts = np.arange(count, dtype=np.int64) * MINUTE_MS
    high, low = np.maximum(opens, closes), np.minimum(opens, closes)
    return Candles("BTCUSDT", ts, opens, high, low, closes, np.ones(count))


def test_rising_closes_fall_back_and_lead_others_up():
    candles = one_way(0.2)
    assert [int(rule_signal(rule, candles, candles)[-1]) for rule in RULES] == [-1, 1, -1]
    assert int(oracle(rule_signal("leader", candles, candles))[-1]) == Signal.BUY


def test_a_rule_moves_the_hour_after_it_spoke():
    sides = np.zeros(200, np.int8)
    sides[10] = 1
    moved = pushed(sides)
    assert np.flatnonzero(moved).tolist() == list(range(11, 11 + HOLD))


def test_a_rule_that_does_not_exist_is_named():
    with pytest.raises(ValueError, match="tide"):
        rule_signal("tide", one_way(0.2))
