from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from crucible.forge.genetic.conditions import trial_count
from crucible.forge.genetic.event_study import (
    HORIZONS,
    Event,
    Studied,
    returns_after,
    rows_of,
    study,
)
from crucible.forge.genetic.terms import TERMS, term_of
from tests.support.markets import forge_run_of

ROWS = 60_000
LEVELS = (0.02, 0.1, 0.5, 0.9, 0.98)


def market(effect: float, seed: int = 0):
    """Features of which the third moves the price for an hour once it rises far, while the fifth is low."""
    generator = np.random.default_rng(seed)
    values = generator.normal(size=(ROWS, 6))
    values[:, 4] = np.repeat(generator.normal(size=ROWS // 100), 100)
    drift = np.zeros(ROWS)
    speaks = (values[:, 2] > 2.0) & (values[:, 4] < 0)
    for row in np.flatnonzero(speaks):
        drift[row + 1 : row + 61] = effect / 60
    opens = 100 * np.exp(np.cumsum(generator.normal(0, 1e-4, ROWS) + np.roll(drift, 1)))
    thresholds = np.quantile(values, LEVELS, axis=0).T
    days = np.arange(ROWS) // 1_440
    return Studied(values, range(6), thresholds, opens, days, HORIZONS[:3])


def test_the_event_and_the_condition_that_move_the_price_are_found_first():
    findings, _ = study(market(0.006), 0.0013, 3, 50)
    first = findings[0]
    assert (first.event.column, first.event.above, first.event.horizon) == (2, True, 60)
    assert first.event.t_statistic > 2 * findings[2].event.t_statistic
    place, _ = term_of(first.condition.column, 6)
    assert (place, first.condition.above) == (4, False)


def test_no_two_findings_are_of_one_feature():
    findings, _ = study(market(0.006), 0.0013, 6, 50)
    columns = [finding.event.column for finding in findings]
    assert len(set(columns)) == len(columns)


def test_every_event_and_condition_that_is_compared_is_counted():
    studied = market(0.0)
    findings, looked = study(studied, 0.0013, 2, 50)
    assert len(findings) == 2
    events = 6 * len(LEVELS) * 2 * len(studied.horizons)
    assert looked == events + 2 * len(studied.horizons) * trial_count(len(TERMS) * 6)


def test_a_return_is_bought_at_the_next_open_and_unknown_where_it_is_not_over():
    opens = np.array([1.0, 2.0, 3.0, 6.0, 9.0])
    found = returns_after(opens, 2)
    assert found[:2] == pytest.approx([2.0, 2.0])
    assert np.isnan(found[2:]).all()
    assert np.isnan(returns_after(opens, 5)).all()


def test_nothing_after_a_rows_horizon_moves_what_is_said_of_it():
    opens = np.linspace(1.0, 2.0, 50)
    later = opens.copy()
    later[30:] *= 7
    assert np.array_equal(returns_after(opens, 5)[:24], returns_after(later, 5)[:24])


def test_crossings_closer_than_the_horizon_count_once_and_a_missing_value_crosses_nothing():
    column = np.array([0.0, 2.0, 0.0, 2.0, 0.0, 2.0, np.nan, 2.0, 0.0, 2.0])
    event = Event(0, above=True, threshold=1.0, horizon=4, t_statistic=np.nan)
    assert rows_of(event, column, len(column)).tolist() == [1, 5, 9]


def test_too_short_a_market_has_no_findings():
    held = market(0.006)
    short = replace(held, values=held.values[:100], opens=held.opens[:100], days=held.days[:100])
    assert study(short, 0.0013, 3, 10) == ([], 0)


def test_a_forging_begins_with_what_the_study_found_and_counts_its_looks():
    forge_run = forge_run_of()
    state = forge_run.start()
    assert state.trials - len(state.seen) > trial_count(6)
    buys = {document["program"][1][0] for document in state.population}
    assert buys & {"cross_above", "cross_below", "and"}
