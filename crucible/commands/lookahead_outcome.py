"""What a check for knowledge of the future found, for the eye."""

from __future__ import annotations

from crucible.forge.lookahead.command import Checked
from crucible.operations.sheet import Column, Sheet, open_console
from crucible.text import moment


def print_lookahead(checked: Checked) -> None:
    """Print each column: whether it leaks, by how much, how far ahead, and what moved it."""
    span = f"{moment(checked.first_ts)} to {moment(checked.last_ts)} UTC"
    sheet = Sheet(
        f"{checked.target} on {checked.rows:,} candles of {checked.symbol}, {span}, {checked.cuts} cuts",
        *(Column(name, "name") for name in ("column", "state")),
        *(Column(name, "figure") for name in ("rows moved", "largest", "of its spread", "ahead")),
        Column("moved by", "text"),
    )
    for finding in checked.findings:
        leaks = finding.state == "leak"
        sheet.add(
            finding.name,
            finding.state,
            f"{finding.rows:,}" if leaks else "",
            f"{finding.largest:.4g}" if finding.largest is not None else "",
            f"{finding.relative:.2%}" if finding.relative is not None else "",
            f"{finding.ahead:,}" if leaks else "",
            ", ".join(finding.inputs),
        )
    open_console().print(sheet)
    unseen = [finding.name for finding in checked.findings if finding.state == "not checked"]
    if unseen:
        print(
            f"not checked, they had no value yet: {', '.join(unseen)}; give more candles with --rows"
        )
    if not checked.leaks:
        print("nothing before a cut changed: no row knows what comes after its own close")
