"""Our trees are LightGBM's to the last bit, and no text ends or hangs the process."""

import json
import random
import subprocess
import sys
from dataclasses import dataclass
from itertools import product

import lightgbm
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crucible.errors import StrategyError
from crucible.strategies.forest import Forest
from crucible.strategies.forest_text import LONGEST_TEXT, MOST_FEATURES, parse_forest

NEAR_ZERO = float(np.float32(1e-35))
ODD = (0.0, -0.0, 1e-36, -1e-36, NEAR_ZERO, -NEAR_ZERO, 1.1e-35, 5e-324, 1e300, -1e300, np.nan)


@dataclass(frozen=True)
class Trained:
    """A booster, its text, and the trees that we made of it."""

    booster: lightgbm.Booster
    text: str
    forest: Forest


def train(seed: int, features: int, rounds: int, **options: object) -> Trained:
    generator = np.random.default_rng(seed)
    values = generator.normal(size=(1_500, features))
    if seed % 2:
        values = np.round(values)
    values[generator.random(values.shape) < 0.1] = np.nan
    luck = generator.normal(size=len(values))
    label = np.nan_to_num(values[:, 0]) - 3 * np.isnan(values[:, -1]) + luck > 0.3
    settled = {
        "objective": "binary",
        "verbosity": -1,
        "deterministic": True,
        "num_threads": 1,
        "seed": seed,
        **options,
    }
    data = lightgbm.Dataset(values, label.astype(int), params={**settled})
    booster = lightgbm.train(settled, data, rounds)
    text = booster.model_to_string()
    return Trained(booster, text, parse_forest(text, booster.feature_name()))


@pytest.fixture(scope="module")
def trained() -> list[Trained]:
    kinds = product((True, False), (True, False), (1.0, 0.7))
    found = [
        train(
            number,
            1 + number % 4,
            (1, 7, 40)[number % 3],
            use_missing=use_missing,
            zero_as_missing=zero,
            sigmoid=sigmoid,
            num_leaves=(2, 5, 31)[number % 3],
            max_bin=(255, 15)[number % 2],
        )
        for number, (use_missing, zero, sigmoid) in enumerate(kinds)
    ]
    stump = train(9, 2, 3, min_data_in_leaf=1_400)
    assert len(stump.forest.column) == 0  # one leaf
    return [*found, stump]


def test_every_kind_of_missing_value_was_trained(trained):
    assert {int(kind) for one in trained for kind in one.forest.missing} == {0, 1, 2}
    assert {bool(left) for one in trained for left in one.forest.missing_left} == {True, False}
    assert any(np.isinf(one.forest.threshold).any() for one in trained)


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_probabilities_are_lightgbms_to_the_last_bit(trained, data):
    one = data.draw(st.sampled_from(trained))
    finite = one.forest.threshold[np.isfinite(one.forest.threshold)]
    edges = [
        float(edge)
        for value in finite
        for edge in (value, np.nextafter(value, -np.inf), np.nextafter(value, np.inf))
    ]
    cell = st.one_of(
        st.sampled_from([*ODD, *edges]), st.floats(allow_nan=True, allow_infinity=False)
    )
    row = st.lists(cell, min_size=one.forest.features, max_size=one.forest.features)
    rows = np.array(data.draw(st.lists(row, min_size=1, max_size=20)))
    theirs = one.booster.predict(rows, num_threads=1)
    np.testing.assert_array_equal(one.forest.probabilities(rows), theirs)
    alone = [one.forest.probabilities(rows[i : i + 1])[0] for i in range(len(rows))]
    np.testing.assert_array_equal(alone, theirs)


def test_many_rows_and_fewer_trees_and_gains_are_lightgbms(trained):
    generator = np.random.default_rng(3)
    for one in trained:
        rows = generator.normal(size=(5_000, one.forest.features))
        rows[generator.random(rows.shape) < 0.2] = np.nan
        reread = lightgbm.Booster(model_str=one.text)
        np.testing.assert_array_equal(
            one.forest.probabilities(rows), reread.predict(rows, num_threads=1)
        )
        for trees in (1, 3):
            np.testing.assert_array_equal(
                one.forest.probabilities(rows, trees),
                one.booster.predict(rows, num_threads=1, num_iteration=trees),
            )
        np.testing.assert_array_equal(one.forest.gains(), reread.feature_importance("gain"))


def test_rows_of_another_width_are_refused(trained):
    with pytest.raises(ValueError, match="features"):
        trained[0].forest.probabilities(np.zeros((2, trained[0].forest.features + 1)))


@pytest.mark.process
def test_what_is_read_from_a_file_never_reaches_lightgbm(trained):
    program = (
        "import json, sys, numpy\n"
        "from crucible.strategies.load import load_strategy\n"
        "strategy = load_strategy(json.load(sys.stdin))\n"
        "strategy.importance()\n"
        "assert 'lightgbm' not in sys.modules\n"
    )
    one = trained[1]
    document = {
        "format": "crucible.strategy/1",
        "kind": "boosted",
        "slot": "XUSDT-boosted-1",
        "symbol": "XUSDT",
        "schema_hash": "0" * 16,
        "features": one.booster.feature_name(),
        "exits": {"stop": 0.01, "target": 0.02, "timeout": 60},
        "buy_at": 0.6,
        "exit_at": 0.4,
        "model": one.text,
    }
    subprocess.run(
        [sys.executable, "-c", program], input=json.dumps(document), text=True, check=True
    )


# --- texts that were altered -----------------------------------------------------------------------


def line_of(text: str, key: str) -> str:
    return next(line for line in text.split("\n") if line.startswith(key + "="))


def altered(text: str, key: str, place: int, value: str) -> str:
    """Put another value into the first array of that name, the tree's size kept right."""
    line = line_of(text, key)
    name, _, values = line.partition("=")
    parts = values.split(" ")
    parts[place] = value
    return resized(text.replace(line, f"{name}={' '.join(parts)}", 1))


def resized(text: str) -> str:
    head, _, rest = text.partition("\nTree=0\n")
    trees = ("Tree=0\n" + rest.partition("end of trees")[0]).split("\nTree=")
    sizes = [len(tree) + 1 + len("Tree=") * bool(number) for number, tree in enumerate(trees)]
    sizes[-1] -= 1
    line = line_of(head, "tree_sizes")
    return text.replace(line, f"tree_sizes={' '.join(map(str, sizes))}", 1)


@pytest.fixture(scope="module")
def sample(trained) -> Trained:
    one = trained[4]
    assert len(line_of(one.text, "left_child").split(" ")) >= 4
    assert resized(one.text) == one.text
    return one


@pytest.mark.parametrize(
    ("key", "place", "value", "reason"),
    [
        ("left_child", 0, "4000", "beyond"),
        ("left_child", 0, "-4000", "beyond"),
        ("left_child", 0, "0", "does not come after it"),
        ("right_child", -1, "0", "does not come after it"),
        ("left_child", 0, "-1", "two parents"),
        ("left_child", 0, "99999999999", "whole number"),
        ("left_child", 0, "1.0", "whole number"),
        ("right_child", 0, "", "whole number"),
        ("split_feature", 0, "1000", "a feature beyond"),
        ("split_feature", 0, "-1", "a feature beyond"),
        ("threshold", 0, "nan", "plain finite number"),
        ("threshold", 0, "-inf", "plain finite number"),
        ("threshold", 0, "1e+999", "plain finite number"),
        ("threshold", 0, "1_0", "plain finite number"),
        ("threshold", 0, "0x10", "plain finite number"),
        ("threshold", 0, "1" * 400, "plain finite number"),
        ("decision_type", 0, "1", "decision type 1"),
        ("decision_type", 0, "12", "decision type 12"),
        ("decision_type", 0, "-2", "decision type -2"),
        ("decision_type", 0, "256", "decision type 256"),
        ("leaf_value", 0, "inf", "plain finite number"),
        ("leaf_value", 0, "1e+200", "a leaf beyond"),
        ("split_gain", 0, "1e+39", "single precision"),
        ("num_leaves", 0, "3", "values where 2 are wanted"),
        ("num_leaves", 0, "0", "leaves are not"),
        ("num_leaves", 0, "-5", "leaves are not"),
        ("num_leaves", 0, "1000000000", "leaves are not"),
        ("num_cat", 0, "1", "num_cat=0"),
        ("is_linear", 0, "1", "is_linear=0"),
        ("num_class", 0, "2", "num_class=1"),
        ("num_tree_per_iteration", 0, "2", "num_tree_per_iteration=1"),
        ("objective", 0, "multiclass", "binary"),
        ("objective", 1, "sigmoid:-1", "sigmoid"),
        ("objective", 1, "sigmoid:nan", "binary"),
        ("max_feature_idx", 0, "99999", "the file names"),
        ("feature_names", 0, "one more", "values where"),
        ("feature_infos", 0, "0:1:2", "categories"),
        ("feature_infos", 0, "[0:1]\x00", "cannot be printed"),
        ("version", 0, "v9", "version=v4"),
    ],
)
def test_an_altered_text_is_refused_by_its_line(sample, key, place, value, reason):
    with pytest.raises(StrategyError, match=reason) as refused:
        parse_forest(altered(sample.text, key, place, value), sample.booster.feature_name())
    assert str(refused.value).startswith("model: ")
    assert len(str(refused.value)) < 300


def test_a_text_that_is_cut_or_grown_anywhere_is_refused(sample):
    names = sample.booster.feature_name()
    lines = sample.text.split("\n")
    for number in range(len(lines) - 2):
        for changed in (
            lines[:number],
            lines[:number] + lines[number + 1 :],
            [*lines[: number + 1], "surprise", *lines[number + 1 :]],
        ):
            text = "\n".join(changed)
            # A feature's importance or a parameter of training is not used.
            unused = number > lines.index("end of trees") and lines[number][-1:] in (
                *"]0123456789",
            )
            if unused and len(changed) == len(lines) - 1:
                continue
            with pytest.raises(StrategyError, match="model: "):
                parse_forest(text, names)


def test_a_text_beyond_every_bound_is_refused_before_it_is_read(sample):
    names = sample.booster.feature_name()
    with pytest.raises(StrategyError, match=f"more than {LONGEST_TEXT}"):
        parse_forest(sample.text + " " * LONGEST_TEXT, names)
    with pytest.raises(StrategyError, match="ASCII"):
        parse_forest(sample.text.replace("parameters", "param\ud800ters"), names)
    wide = sample.text.replace(
        line_of(sample.text, "max_feature_idx"), f"max_feature_idx={MOST_FEATURES}"
    )
    with pytest.raises(StrategyError, match="are not 1 to"):
        parse_forest(wide, ["x"] * (MOST_FEATURES + 1))


def test_thousands_of_changed_texts_are_refused_or_evaluated(trained):
    source = random.Random(20)
    rows = np.random.default_rng(1).normal(size=(20, 4))
    rows[0] = np.nan
    refused = evaluated = 0
    small = [one for one in trained if len(one.text) < 40_000]
    for _ in range(3_000):
        one = source.choice(small)
        text = mutated(one.text, source)
        try:
            forest = parse_forest(text, one.booster.feature_name())
        except StrategyError:
            refused += 1
            continue
        found = forest.probabilities(rows[:, : forest.features])
        assert ((found >= 0) & (found <= 1)).all()
        evaluated += 1
    assert refused > 2_000
    assert evaluated > 100


def mutated(text: str, source: random.Random) -> str:
    """Change a number, a character, a line or the length of a text, sizes of trees kept right."""
    # Rather in the trees than in the long tale of parameters.
    end = text.index("end of trees") if source.random() < 0.9 else len(text)
    for _ in range(source.choice((1, 1, 1, 2, 5))):
        place = source.randrange(end)
        kind = source.randrange(6)
        if kind == 0:
            text = text[:place] + source.choice("0123456789-+.e =\n\0a[") + text[place + 1 :]
        elif kind == 1:
            text = text[:place] + text[place + source.randrange(1, 40) :]
        elif kind == 2:
            other = source.randrange(end)
            text = text[:place] + text[other : other + source.randrange(1, 200)] + text[place:]
        elif kind == 3 and source.random() < 0.1:
            text = text[:place]
        else:
            lines = text.split("\n")
            number = source.randrange(len(lines))
            name, sign, values = lines[number].partition("=")
            parts = values.split(" ")
            odd = (
                "-1",
                "0",
                "1",
                "2",
                "7",
                "255",
                "-999",
                "2147483648",
                "1e+308",
                "nan",
                "inf",
                "",
            )
            parts[source.randrange(len(parts))] = source.choice((*odd, source.choice(parts)))
            lines[number] = name + sign + " ".join(parts)
            text = "\n".join(lines)
        end = min(end, len(text))
        if not end:
            return text
    try:
        return resized(text)
    except StopIteration:
        return text
