"""Read a classifier's trees from the text that LightGBM writes, taking nothing on trust.

LightGBM's own reader checks little: a changed text can end the process, loop for ever, or read beyond
an array. Here every line must be the one that LightGBM writes at that place, every number must be
plain and finite, every array must have its length, and every tree must be a tree. What the text says
beyond the trees (how they were trained) must have LightGBM's form, and is not used.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NoReturn

import numpy as np

from crucible.errors import StrategyError
from crucible.strategies.forest import MISSING_NAN, Forest

LONGEST_TEXT = 4 * 2**20
MOST_FEATURES = 1_000
MOST_TREES = 2_000
MOST_LEAVES = 1_024
"""Of one tree."""
MOST_NODES = 200_000
"""Leaves of all trees."""
LARGEST_LEAF = 1e100
"""No sum of leaves overflows."""
LARGEST_GAIN = float(np.finfo(np.float32).max)

_CATEGORICAL, _MISSING_LEFT = 1, 2
_INTEGER = re.compile(r"-?[0-9]{1,10}")
_NUMBER = re.compile(r"-?[0-9]{1,20}(\.[0-9]{1,20})?(e[+-][0-9]{1,3})?")
_FEATURE_INFO = re.compile(r"none|\[[^ :\[\]]{1,40}:[^ :\[\]]{1,40}\]")
_OBJECTIVE = re.compile(r"binary sigmoid:([0-9.e+-]{1,30})")
_IMPORTANCE = re.compile(r"[^ =]{1,200}=[0-9]{1,10}")
_PARAMETER = re.compile(r"\[[a-z_0-9]{1,60}: [^\n]*\]")


def parse_forest(text: str, features: Sequence[str]) -> Forest:
    """Make trees of LightGBM's text of a binary classifier.

    Parameters
    ----------
    text : str
        As ``Booster.model_to_string`` returns it.
    features : sequence of str
        What the columns are; their names in the text may be others.

    Raises
    ------
    StrategyError
        Naming the line, what stands there, and what is wanted.
    """
    if len(text) > LONGEST_TEXT:
        message = f"model: {len(text)} characters, more than {LONGEST_TEXT}; use fewer trees"
        raise StrategyError(message)
    if not text.isascii():
        message = "model: holds characters beyond ASCII, which LightGBM never writes"
        raise StrategyError(message)
    lines = _Lines(text)
    lines.exactly("tree")
    lines.exactly("version=v4")
    lines.exactly("num_class=1")
    lines.exactly("num_tree_per_iteration=1")
    lines.value("label_index")
    columns = lines.integer("max_feature_idx") + 1
    sigmoid = _sigmoid(lines)
    if columns != len(features):
        message = f"model: reads {columns} features, the file names {len(features)}"
        raise StrategyError(message)
    if not 1 <= columns <= MOST_FEATURES:
        message = f"model: {columns} features are not 1 to {MOST_FEATURES}"
        raise StrategyError(message)
    lines.parts("feature_names", columns)
    if not all(_FEATURE_INFO.fullmatch(info) for info in lines.parts("feature_infos", columns)):
        lines.refuse("a feature that is no range of numbers; categories are not evaluated here")
    sizes = lines.integers("tree_sizes", None)
    if not 1 <= len(sizes) <= MOST_TREES:
        lines.refuse(f"{len(sizes)} trees are not 1 to {MOST_TREES}")
    lines.exactly("")
    trees = _Trees(columns)
    for number, size in enumerate(sizes):
        begun = lines.characters
        _tree(lines, trees, number)
        if lines.characters - begun != size:
            lines.refuse(
                f"tree {number} has {lines.characters - begun} bytes where {size} are said"
            )
    _ending(lines)
    return trees.forest(columns, sigmoid)


def _sigmoid(lines: _Lines) -> float:
    found = _OBJECTIVE.fullmatch(lines.value("objective"))
    if found is None:
        lines.refuse("the objective is not 'binary sigmoid:NUMBER'; a binary classifier is wanted")
    scale = lines.number(found[1])
    if not 1e-6 <= scale <= 1e6:
        lines.refuse(f"a sigmoid of {scale} is not within 1e-6 and 1e6")
    return scale


class _Lines:
    """The text line by line; every question moves on by one line."""

    def __init__(self, text: str) -> None:
        self._lines = text.split("\n")
        self._at = 0
        self.characters = 0

    def next(self) -> str:
        if self._at == len(self._lines):
            message = f"model: the text ends after line {self._at}; fetch or forge it again"
            raise StrategyError(message)
        line = self._lines[self._at]
        self._at += 1
        self.characters += len(line) + 1
        if not line.isprintable():
            # LightGBM's own reader would stop at a NUL, and the two would then read different texts.
            self.refuse("a character that cannot be printed is in it")
        return line

    def refuse(self, reason: str) -> NoReturn:
        line = self._lines[self._at - 1]
        shown = repr(line if len(line) <= 60 else f"{line[:57]}...")
        message = f"model: line {self._at}, {shown}: {reason}"
        raise StrategyError(message)

    def exactly(self, wanted: str) -> None:
        if self.next() != wanted:
            self.refuse(f"{wanted!r} is wanted here" if wanted else "an empty line is wanted here")

    def value(self, key: str) -> str:
        found, sign, value = self.next().partition("=")
        if found != key or not sign:
            self.refuse(f"'{key}=' is wanted here")
        return value

    def parts(self, key: str, count: int | None) -> list[str]:
        value = self.value(key)
        parts = value.split(" ") if value else []
        if count is not None and len(parts) != count:
            self.refuse(f"{len(parts)} values where {count} are wanted")
        return parts

    def integer(self, key: str) -> int:
        return self.integers(key, 1)[0]

    def integers(self, key: str, count: int | None) -> list[int]:
        parts = self.parts(key, count)
        for part in parts:
            if not _INTEGER.fullmatch(part):
                self.refuse(f"{part[:40]!r} is not a whole number")
        return [int(part) for part in parts]

    def numbers(self, key: str, count: int) -> list[float]:
        return [self.number(part) for part in self.parts(key, count)]

    def number(self, part: str) -> float:
        value = float(part) if _NUMBER.fullmatch(part) else math.nan
        if not math.isfinite(value):
            self.refuse(f"{part[:40]!r} is not a plain finite number")
        return value

    def rest(self) -> Iterator[str]:
        while self._at < len(self._lines):
            yield self.next()


@dataclass
class _Trees:
    """Arrays of the trees read so far."""

    columns: int
    roots: list[int] = field(default_factory=list)
    column: list[int] = field(default_factory=list)
    threshold: list[float] = field(default_factory=list)
    decision: list[int] = field(default_factory=list)
    left: list[int] = field(default_factory=list)
    right: list[int] = field(default_factory=list)
    leaf: list[float] = field(default_factory=list)
    gain: list[float] = field(default_factory=list)

    def place(self, child: int) -> int:
        """Where a child of the tree that comes next will stand among all trees."""
        return child + len(self.column) if child >= 0 else child - len(self.leaf)

    def forest(self, features: int, sigmoid: float) -> Forest:
        decision = np.array(self.decision, np.uint8)
        return Forest(
            features=features,
            sigmoid=sigmoid,
            roots=np.array(self.roots, np.int32),
            column=np.array(self.column, np.int32),
            threshold=np.array(self.threshold, np.float64),
            missing=(decision >> 2).astype(np.uint8),
            missing_left=(decision & _MISSING_LEFT) != 0,
            left=np.array(self.left, np.int32),
            right=np.array(self.right, np.int32),
            leaf=np.array(self.leaf, np.float64),
            gain=np.array(self.gain, np.float32),
        )


def _tree(lines: _Lines, trees: _Trees, number: int) -> None:
    """Read one tree and add it to the others."""
    lines.exactly(f"Tree={number}")
    leaves = lines.integer("num_leaves")
    if not 1 <= leaves <= MOST_LEAVES:
        lines.refuse(f"{leaves} leaves are not 1 to {MOST_LEAVES}")
    if len(trees.leaf) + leaves > MOST_NODES:
        lines.refuse(f"more than {MOST_NODES} leaves together")
    nodes = leaves - 1
    lines.exactly("num_cat=0")
    column = lines.integers("split_feature", nodes)
    if not all(0 <= place < trees.columns for place in column):
        lines.refuse(f"a feature beyond the {trees.columns} that there are")
    gain = lines.numbers("split_gain", nodes)
    if not all(abs(value) <= LARGEST_GAIN for value in gain):
        lines.refuse("a gain beyond single precision")
    # LightGBM writes "inf" where a node asks only whether there is a value.
    threshold = [
        math.inf if part == "inf" else lines.number(part)
        for part in lines.parts("threshold", nodes)
    ]
    decision = lines.integers("decision_type", nodes)
    for value in decision:
        if value & _CATEGORICAL or not 0 <= value >> 2 <= MISSING_NAN:
            lines.refuse(f"decision type {value} is not 0, 2, 4, 6, 8 or 10")
    left = lines.integers("left_child", nodes)
    right = lines.integers("right_child", nodes)
    fault = _not_a_tree(left, right, leaves)
    if fault:
        lines.refuse(fault)
    leaf = lines.numbers("leaf_value", leaves)
    if not all(abs(value) <= LARGEST_LEAF for value in leaf):
        lines.refuse(f"a leaf beyond {LARGEST_LEAF:g}")
    lines.numbers("leaf_weight", leaves if nodes else 0)
    lines.integers("leaf_count", leaves)
    lines.numbers("internal_value", nodes)
    lines.numbers("internal_weight", nodes)
    lines.integers("internal_count", nodes)
    lines.exactly("is_linear=0")
    lines.number(lines.value("shrinkage"))
    lines.exactly("")
    lines.exactly("")
    trees.roots.append(trees.place(0 if nodes else -1))
    places = [trees.place(child) for child in left], [trees.place(child) for child in right]
    trees.column += column
    trees.threshold += threshold
    trees.decision += decision
    trees.left += places[0]
    trees.right += places[1]
    trees.leaf += leaf
    trees.gain += gain


def _not_a_tree(left: Sequence[int], right: Sequence[int], leaves: int) -> str | None:
    """Say what keeps children from making a tree; None if they do.

    A child always has a larger number than its parent, and everything but the root is the child of one
    node: then every path ends in a leaf.
    """
    seen: set[int] = set()
    for parent, children in enumerate(zip(left, right, strict=True)):
        for child in children:
            if not -leaves <= child < leaves - 1:
                return (
                    f"child {child} of node {parent} is beyond the {leaves} leaves and their nodes"
                )
            if 0 <= child <= parent:
                return f"child {child} of node {parent} does not come after it"
            if child in seen:
                return f"child {child} of node {parent} has two parents"
            seen.add(child)
    return None


def _ending(lines: _Lines) -> None:
    """Check what follows the trees; none of it is used."""
    for wanted in ("end of trees", "", "feature_importances:"):
        lines.exactly(wanted)
    while line := lines.next():
        if not _IMPORTANCE.fullmatch(line):
            lines.refuse("an importance, 'NAME=NUMBER', is wanted here")
    lines.exactly("parameters:")
    while line := lines.next():
        if not _PARAMETER.fullmatch(line):
            lines.refuse("a parameter, '[NAME: VALUE]', is wanted here")
    for wanted in ("end of parameters", "", "pandas_categorical:null"):
        lines.exactly(wanted)
    for line in lines.rest():
        if line:
            lines.refuse("the text should have ended")
