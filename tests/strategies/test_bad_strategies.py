"""Every row of the reference's table of strategies, against the reader that every command uses."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from crucible.strategies.contract import StrategyError
from crucible.strategies.load import read_strategy
from tests.documented import answers, lacking

PROMISED = answers("Strategies")

# For each case, what is written to the file; several where several inputs get the same answer.
FILES: dict[str, list[bytes | Callable[[Path], object]]] = {
    "no-object": [b"[]", b"3", b"null"],
    "other-format": [b"{}", json.dumps({"format": "crucible.strategy/9"}).encode()],
    "not-json": [b"", b"{", b"\xff\xfe", Path.mkdir, lambda path: None],
}


@pytest.mark.parametrize("case", sorted(set(PROMISED) | set(FILES)))
def test_a_bad_strategy_gets_what_the_reference_says(case, tmp_path):
    for number, content in enumerate(FILES[case]):
        path = tmp_path / f"{number}.json"
        content(path) if callable(content) else path.write_bytes(content)
        with pytest.raises(StrategyError) as caught:
            read_strategy(path)
        assert str(caught.value).startswith(str(path))
        assert lacking(PROMISED[case], str(caught.value)) == []
