"""The page of `make results`, in Markdown, and its picture: what is told, and nothing measured."""

from __future__ import annotations

import textwrap
from collections import Counter
from html import escape
from statistics import median
from typing import Any

import numpy as np

from crucible.text import moment

PICTURE = "forge.svg"
HASH_DIGITS = 16
MOST_LINES = 8
LONGEST_LINE = 150
MOST_FEATURES = 4
YEAR_DAYS = 365
ACROSS, PANEL_WIDE, PANEL_HIGH, GAP, TITLE = 4, 210, 120, 14, 32
EQUITY_COLOUR, HOLD_COLOUR = "#0b6e4f", "#8a8f98"
MINUS = "-"
BOOTSTRAPS = 2_000
BEFORE = (
    "Before, with the newest 40,000 candles of every span and at least four trades a day: 3 of 16 candidates earned in "
    "the hold-out window and 8 earned more than buy-and-hold; median annual Sharpe ratio -9.38 against -8.74 of "
    "buy-and-hold, over windows of 5 days; median net return -3.28%."
)


def page(reported: dict[str, Any]) -> str:
    """Return the whole page.

    Parameters
    ----------
    reported : dict
        What `tools.results_forge.everything` gathered.
    """
    rows = reported["rows"]
    parts = [
        "# What the Forge found on real candles",
        (
            "Written by `make results`; every figure about a strategy is that of the `champion.json` "
            "or `refusal.json` of its forge run."
        ),
        *_summary(rows),
        f"![Equity in the hold-out windows]({PICTURE})",
        (
            "Sealed windows: the candidate (green) beside buy-and-hold (grey), both from 1, one panel "
            "for each forge run, each with its own scale, its figures those of the table. The lines are cut out of one backtest over the "
            "whole span, so a position carried into the window is in the picture and not in the tables, "
            "which begin flat."
        ),
        "## How it was made",
        *_method(reported),
        "## Hold-out window",
        (
            "Opened once for each candidate, after the gates had judged it, to be reported here; it "
            "decided nothing. *Opened* is the forge run's own count."
        ),
        _window_table(rows, "sealed"),
        "## Validation window",
        "Chose among the finalists: its figures are selected and no forecast.",
        _window_table(rows, "validation"),
        "## Training window",
        "Bred the candidates: its figures are selected, too. A classifier's are out of fold.",
        _window_table(rows, "train"),
        "## Gates",
        (
            "Value, and `x` where it fails the threshold in the heading; **bold** is the gate that "
            f"refused: the first failed one. {_DOCS}"
        ),
        "Evidence, binding under `strict` only:",
        _gate_table(rows, "evidence"),
        "Sanity, binding always:",
        _gate_table(rows, "sanity"),
        "## Candidates",
        (
            "In words, long rules cut short. Each is what the gates judged, registered or not. A "
            "forge run can be repeated alone: `crucible forge --slot SLOT --candles DIR/SPAN --seed "
            f"{reported['seed']} --population {reported['settings']['population']} --generations "
            f"{reported['settings']['generations']} --out OUT`."
        ),
    ]
    for number, row in enumerate(rows, 1):
        parts += _candidate(number, row)
    return "\n\n".join(parts) + "\n"


_DOCS = "What each gate measures: [the Forge](../reference/forge.md#gates)."


def _summary(rows: list[dict[str, Any]]) -> list[str]:
    count = len(rows)
    registered = [row for row in rows if row["refused_by"] is None]
    explored = [row for row in rows if _candidate_of(row) and not _failed(row, "sanity")]
    judged = [row for row in rows if _candidate_of(row)]
    sealed = [_window(row, "sealed") for row in judged]
    positive = [row for row in registered if (_earned(row) or 0.0) > 0]
    explored_positive = [row for row in explored if (_earned(row) or 0.0) > 0]
    ahead = [row for row in judged if _ahead(row)]
    gained = [row for row in judged if (_earned(row) or 0.0) > 0]
    borne = [
        row for row in judged if (_window(row, "validation")["summary"]["net_return"] or 0.0) > 0
    ]
    ratios = [w["summary"]["sharpe_annual"] for w in sealed]
    known = [ratio for ratio in ratios if ratio is not None]
    holds = [row["hold"]["sealed"]["sharpe_annual"] for row in judged]
    held = [ratio for ratio in holds if ratio is not None]
    days = [w["summary"]["days"] for w in sealed]
    level = next((g["threshold"] for row in rows for g in row["gates"] if g["name"] == _LUCK), None)
    lines = [
        (
            f"- {count} forge runs, {len(registered)} registered under `strict`, {len(positive)} of "
            "those with a positive net return in the hold-out window."
        ),
        (
            f"- Under `explore`, where only the sanity gates bind, {len(explored)} would have been "
            f"registered (tagged unproven unless every gate passed), {len(explored_positive)} of those "
            "with a positive net return in the hold-out window."
        ),
        (
            f"- Of {len(judged)} candidates, {len(gained)} earned after costs in the hold-out window "
            f"({_share_of(len(gained), len(judged))}) and {len(ahead)} earned more than buy-and-hold "
            f"({_share_of(len(ahead), len(judged))})."
        ),
        (
            f"- {len(borne)} of them had earned in validation, too, and are called champions where nothing else "
            f"binds; of these {sum((_earned(row) or 0.0) > 0 for row in borne)} earned in the hold-out window "
            f"({_share_of(sum((_earned(row) or 0.0) > 0 for row in borne), len(borne))})."
        ),
    ]
    if known and held:
        lines.append(
            f"- Median annual Sharpe ratio in the hold-out window: {_ratio(median(known))} "
            f"(standard error {_error_of_median(known):.2f}) of "
            f"{len(known)} candidates, {_ratio(median(held))} ({_error_of_median(held):.2f}) of buy-and-hold "
            f"without costs. A hold-out window has {median(days):g} days (median), over which the standard error of an annual "
            f"Sharpe ratio is about {(YEAR_DAYS / median(days)) ** 0.5:.1f}: single rows say little."
        )
    failures = Counter(
        gate["name"] for row in judged for gate in row["gates"] if not gate["passed"]
    )
    if failures:
        counted = ", ".join(f"`{name}` {failed}" for name, failed in failures.most_common())
        lines.append(
            f"- Gates failed, by how many of {len(judged)} candidates: {counted}. The fewest that one "
            f"candidate failed: {min(len(_every_failed(row)) for row in judged)}."
        )
    if earned := [value for row in judged if (value := _earned(row)) is not None]:
        lines.append(
            f"- Median net return: training "
            f"{_share(_median_return(judged, 'train'))}, validation "
            f"{_share(_median_return(judged, 'validation'))}, sealed {_share(median(earned))} "
            f"(standard error {_error_of_median(earned):.2%})."
        )
    lines.append(f"- {BEFORE}")
    if level is not None:
        chance = 1 - level
        lines.append(
            f"- {count} forge runs are {count} trials. The gate `{_LUCK}` lets a worthless candidate pass "
            f"in at most {chance:.0%} of forge runs by its own reckoning (it wants {level:g} against the "
            f"best of all trials), so at most {chance * count:.2g} false registrations are expected "
            f"here, and at least one with a chance of at most {1 - level**count:.0%} if forge runs were "
            "independent. The other gates can only lower this. How often shuffled markets are in "
            "fact registered is measured by `make bench-truth`; how large a true edge must be to pass "
            "on this many candles is told [with the gates](../reference/forge.md#is-it-true)."
        )
    return ["\n".join(lines)]


_LUCK = "deflated_sharpe"


def _method(reported: dict[str, Any]) -> list[str]:
    settings = reported["settings"]
    costs = settings["costs"]
    revisions = sorted({row["code_revision"] for row in reported["rows"]})
    spans = [
        "| span | symbols | first candle | last close | SHA-256 of its candles |",
        "|---|---|---|---|---|",
    ]
    spans += [
        f"| {span['name']} | {len(span['symbols'])} | {moment(span['first_ts'])} | "
        f"{moment(span['last_ts'])} | `{span['hash'][:HASH_DIGITS]}` |"
        for span in reported["spans"]
    ]
    return [
        f'```sh\nmake results ARGS="{reported["command"]}"\n```',
        (
            f"Seed {reported['seed']}, code {', '.join(f'`{name}`' for name in revisions)}. Forged under the policy "
            f"`{settings['policy']}`, which measures every gate of everybody; verdicts here are those of `strict`. "
            f"Population {settings['population']}, "
            f"generations {settings['generations']}, fee {float(costs['fee']):.4%} and slippage "
            f"{float(costs['slippage']):.4%} of each side, all candles of each span, as many of the newest as "
            f"{settings['memory_gb']:g} GB hold, as few trades as statistics allow, and every other "
            "setting as the product has it. No prior trials: each forge run is the first of its slot."
        ),
        (
            "Symbols are dealt out in turn over the spans in alphabetical order, so none was picked by "
            "its result; every forge run of the run is on this page. All symbols of a span take part in "
            f"its features. {_funding(reported['rows'])} Forge runs of one span are not independent: markets move together. A window is sealed to "
            "its forge run, not to people: whoever changes the Forge after reading this page has "
            "seen these windows."
        ),
        "\n".join(spans),
    ]


def _funding(rows: list[dict[str, Any]]) -> str:
    """Tell whether funding was charged, as each forge run's own lineage says."""
    said = Counter(row["funding"] for row in rows)
    counted = "; ".join(
        f"{describe} ({count} forge runs)" for describe, count in sorted(said.items())
    )
    return f"Funding: {counted}; without rates none is charged on perpetual futures either."


def _window_table(rows: list[dict[str, Any]], name: str) -> str:
    sealed = name == "sealed"
    lines = [
        (
            "| # | span | slot | from | to | net return | Sharpe | drawdown | trades | "
            f"hold: return | Sharpe | drawdown |{' opened | verdict |' if sealed else ''}"
        ),
        f"|--:|---|---|---|---|--:|--:|--:|--:|--:|--:|--:|{'--:|---|' if sealed else ''}",
    ]
    for number, row in enumerate(rows, 1):
        window, hold = _window(row, name), row["hold"][name]
        summary = window["summary"]
        cells = [
            str(number),
            row["span"],
            row["slot"],
            moment(window["first_ts"]),
            moment(window["last_ts"]),
            _share(summary.get("net_return")),
            _ratio(summary.get("sharpe_annual")),
            _fall(summary.get("max_drawdown")),
            str(summary.get("trades", MINUS)),
            _share(hold["net_return"]),
            _ratio(hold["sharpe_annual"]),
            _fall(hold["max_drawdown"]),
        ]
        if sealed:
            cells += [str(window["opened"]), _verdict(row)]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _gate_table(rows: list[dict[str, Any]], kind: str) -> str:
    columns: dict[str, dict[str, Any]] = {}
    # A row without a candidate has but one gate; the others tell the thresholds.
    for row in sorted(rows, key=lambda row: -len(row["gates"])):
        for gate in row["gates"]:
            if gate["kind"] == kind:
                columns.setdefault(gate["name"], gate)
    sides = {"higher": "&ge;", "lower": "&le;"}
    heads = [f"{n} {sides[g['better']]} {g['threshold']:g}" for n, g in columns.items()]
    lines = [f"| # | slot | {' | '.join(heads)} |", f"|--:|---|{'--:|' * len(heads)}"]
    for number, row in enumerate(rows, 1):
        gates = {gate["name"]: gate for gate in row["gates"]}
        cells = [_gate(gates.get(name), columns[name], row["refused_by"]) for name in columns]
        lines.append(f"| {number} | {row['slot']} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _gate(gate: dict[str, Any] | None, column: dict[str, Any], refused_by: str | None) -> str:
    if gate is None:
        return "not judged"
    reported = "not measured" if gate["value"] is None else f"{gate['value']:.4g}"
    if gate["threshold"] != column["threshold"]:
        reported += f" (wanted {gate['threshold']:g})"
    if gate["passed"]:
        return reported
    return f"**{reported} x**" if gate["name"] == refused_by else f"{reported} x"


def _candidate(number: int, row: dict[str, Any]) -> list[str]:
    failed = _every_failed(row)
    facts = (
        f"{_verdict(row).capitalize()}; {len(row['gates']) - len(failed)} of {len(row['gates'])} gates "
        f"passed. {row['trials']:,} trials, as {row['effective_trials']:,.0f} independent ones. Used "
        f"{row['span_described']}. Data `{row['data_hash'][:HASH_DIGITS]}`, features "
        f"`{row['feature_schema'][:HASH_DIGITS]}`."
    )
    heading = f"### {number}. {row['slot']} on {row['span']}"
    if not row["words"]:
        return [heading, facts, "No candidate traded enough to be judged."]
    words = row["words"]
    lines = [*_shortened("It buys when", words["buy"]), *_shortened("It exits when", words["exit"])]
    lines += textwrap.wrap(words["exits"], LONGEST_LINE)
    if listened := [each for each in row["importance"] if each["signals_changed"] > 0]:
        reported = [
            f"{each['feature']} {each['signals_changed']:.1%}" for each in listened[:MOST_FEATURES]
        ]
        lines.append(
            f"Share of its signals that change when a feature is shuffled: {', '.join(reported)}"
        )
    return [heading, facts, "\n".join(["```text", *lines, "```"])]


def _shortened(begin: str, rule: list[str]) -> list[str]:
    first, *rest = rule
    lines = [f"{begin} {first}", *rest]
    reported = [
        line if len(line) <= LONGEST_LINE else f"{line[:LONGEST_LINE].rstrip()} ..."
        for line in lines[:MOST_LINES]
    ]
    if len(lines) > MOST_LINES:
        reported.append(f"  ... and {len(lines) - MOST_LINES} more lines")
    return reported


def picture(reported: dict[str, Any]) -> str:
    """Draw every hold-out window as a panel of two lines, as an SVG document."""
    rows = reported["rows"]
    step_x, step_y = PANEL_WIDE + GAP, PANEL_HIGH + TITLE + GAP
    wide = GAP + min(ACROSS, max(1, len(rows))) * step_x
    high = GAP + -(-len(rows) // ACROSS) * step_y
    parts = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {wide} {high}" role="img" '
            'font-family="sans-serif" font-size="9"><title>Equity in the hold-out windows</title>'
            f'<rect width="{wide}" height="{high}" fill="#ffffff"/>'
        )
    ]
    for place, row in enumerate(rows):
        x = GAP + place % ACROSS * step_x
        y = GAP + place // ACROSS * step_y
        parts.append(
            f'<text x="{x}" y="{y + 10}" fill="#333333">{place + 1}. {escape(row["slot"])} '
            f"{escape(row['span'])}</text>"
            f'<text x="{x}" y="{y + 23}" fill="{EQUITY_COLOUR}">candidate {_share(_earned(row))}</text>'
            f'<text x="{x + PANEL_WIDE / 2}" y="{y + 23}" fill="{HOLD_COLOUR}">held '
            f"{_share(row['hold']['sealed']['net_return'])}</text>"
            f'<rect x="{x}" y="{y + TITLE}" width="{PANEL_WIDE}" height="{PANEL_HIGH}" fill="none" '
            'stroke="#dddddd"/>'
        )
        parts.append(_panel(row["curve"], x, y + TITLE))
    return "\n".join([*parts, "</svg>"]) + "\n"


def _panel(curve: dict[str, list[float]], x: float, y: float) -> str:
    if not curve:
        return f'<text x="{x + 8}" y="{y + 20}" fill="#333333">no candidate</text>'
    values = [*curve["equity"], *curve["hold"], 1.0]
    low, high = min(values), max(values)
    reach = (high - low) or 1.0

    def down(value: float) -> float:
        return y + 6 + (high - value) / reach * (PANEL_HIGH - 12)

    one = down(1.0)
    parts = [
        f'<line x1="{x}" x2="{x + PANEL_WIDE}" y1="{one:.1f}" y2="{one:.1f}" stroke="#dddddd"/>'
    ]
    for name, colour in (("hold", HOLD_COLOUR), ("equity", EQUITY_COLOUR)):
        line = curve[name]
        last = max(1, len(line) - 1)
        points = " ".join(
            f"{x + PANEL_WIDE * place / last:.1f},{down(value):.1f}"
            for place, value in enumerate(line)
        )
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}"/>')
    return "".join(parts)


def _share_of(part: int, whole: int) -> str:
    """Tell a share with its standard error."""
    if not whole:
        return "none"
    share = part / whole
    return f"{share:.0%}, standard error {(share * (1 - share) / whole) ** 0.5:.0%}"


def _error_of_median(values: list[float]) -> float:
    """Return the standard error of a median by the bootstrap, as if the values were independent."""
    generator = np.random.default_rng(0)
    drawn = generator.choice(np.array(values), (BOOTSTRAPS, len(values)))
    return float(np.std(np.median(drawn, axis=1), ddof=1))


def _candidate_of(row: dict[str, Any]) -> bool:
    return bool(row["words"])


def _verdict(row: dict[str, Any]) -> str:
    return "registered" if row["refused_by"] is None else f"refused by {row['refused_by']}"


def _failed(row: dict[str, Any], kind: str) -> list[str]:
    return [g["name"] for g in row["gates"] if g["kind"] == kind and not g["passed"]]


def _every_failed(row: dict[str, Any]) -> list[str]:
    return _failed(row, "sanity") + _failed(row, "evidence")


def _window(row: dict[str, Any], name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(window for window in row["windows"] if window["name"] == name)
    return found


def _earned(row: dict[str, Any], name: str = "sealed") -> float | None:
    value: float | None = _window(row, name)["summary"].get("net_return")
    return value


def _median_return(rows: list[dict[str, Any]], name: str) -> float | None:
    known = [value for row in rows if (value := _earned(row, name)) is not None]
    return median(known) if known else None


def _ahead(row: dict[str, Any]) -> bool:
    earned, held = _earned(row), row["hold"]["sealed"]["net_return"]
    return earned is not None and held is not None and earned > held


def _share(value: float | None) -> str:
    return MINUS if value is None else f"{value:+.2%}"


def _fall(value: float | None) -> str:
    return MINUS if value is None else f"{value:.2%}"


def _ratio(value: float | None) -> str:
    return MINUS if value is None else f"{value:+.2f}"
