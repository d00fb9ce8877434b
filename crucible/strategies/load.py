"""Read a strategy from its JSON file: checked against the schema, and no code is executed."""

from __future__ import annotations

import json
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, TypeAlias

from crucible.errors import StrategyError
from crucible.settings import Slot
from crucible.strategies.boosted import BoostedStrategy
from crucible.strategies.contract import FORMAT, Exits, Strategy
from crucible.strategies.document import check_document, read_document, shown
from crucible.strategies.gp import GpStrategy
from crucible.text import visible
from crucible.vm.program import features_of, parse_program

Validator: TypeAlias = Any
"""A jsonschema validator."""

SCHEMA_FILE = "strategy.schema.json"


def load_strategy(document: object) -> Strategy:
    """Make a strategy of its JSON values.

    Parameters
    ----------
    document : dict
        JSON values, as `Strategy.to_json` returns it; the schema is docs/reference/strategy.schema.json.

    Raises
    ------
    StrategyError
        Naming the field that is missing or wrong, its value, and why.
    """
    if not isinstance(document, dict):
        message = f"a strategy is a JSON object, not {type(document).__name__}"
        raise StrategyError(message)
    check_document(document)
    if document.get("format") != FORMAT:
        found = shown(repr(document.get("format")))
        message = f"format: {found} is not {FORMAT!r}; convert or forge again"
        raise StrategyError(message)
    _check_schema(document)
    try:
        slot = Slot.parse(document["slot"])
    except ValueError as error:
        message = f"slot: {shown(error, 200)}"
        raise StrategyError(message) from error
    if (slot.symbol, slot.kind) != (document["symbol"], document["kind"]):
        message = (
            f"slot: {slot.name} does not agree with symbol {document['symbol']} "
            f"and kind {document['kind']}"
        )
        raise StrategyError(message)
    exits = Exits(
        stop=float(document["exits"]["stop"]),
        target=float(document["exits"]["target"]),
        timeout=int(document["exits"]["timeout"]),
    )
    if document["kind"] == "gp":
        program = parse_program(document["program"])
        if list(features_of(program)) != document["features"]:
            message = (
                f"features: {shown(document['features'], 200)} are not those the program reads, "
                f"{shown(list(features_of(program)), 200)}"
            )
            raise StrategyError(message)
        return GpStrategy(slot.name, slot.symbol, document["schema_hash"], program, exits)
    return BoostedStrategy(
        slot=slot.name,
        symbol=slot.symbol,
        schema_hash=document["schema_hash"],
        features=tuple(document["features"]),
        model=document["model"],
        buy_at=float(document["buy_at"]),
        exit_at=float(document["exit_at"]),
        exits=exits,
    )


def read_strategy(path: Path) -> Strategy:
    """Load a strategy from a file.

    Raises
    ------
    StrategyError
        Naming the file, and what is wrong with it.
    """
    document = read_document(path)
    try:
        return load_strategy(document)
    except StrategyError as error:
        message = f"{path}: {error}"
        raise StrategyError(message) from error


@cache
def _validator() -> Validator:
    import jsonschema

    text = resources.files("crucible.strategies").joinpath(SCHEMA_FILE).read_text(encoding="utf-8")
    return jsonschema.Draft202012Validator(json.loads(text))


def _check_schema(document: dict[str, Any]) -> None:
    import jsonschema

    # A refusal by "one of the two kinds" says little: show the deepest, most relevant cause.
    error = jsonschema.exceptions.best_match(_validator().iter_errors(document))
    if error is None:
        return
    path = ".".join(str(part) for part in error.absolute_path) or "document"
    found = shown(repr(error.instance))
    reason = visible(error.message) if len(error.message) <= 200 else error.validator
    message = f"{shown(path)}: {found} is refused by the strategy schema: {reason}"
    raise StrategyError(message)
