"""The page's one document, its files, and the policy under which a browser shows them."""

from __future__ import annotations

import html
import re
import time
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

STATIC = Path(__file__).with_name("static")
DOCUMENT = STATIC / "page.html"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "frame-ancestors 'none'; form-action 'none'; base-uri 'none'"
)
"""The page needs nothing but itself, and no script or style that stands in a document."""
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    # Whoever opened this page from elsewhere gets no hold of its window.
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}
VIEWS: Mapping[str, str] = {
    "/": "Overview",
    "/market": "Market",
    "/agents": "Agents",
    "/population": "Population",
    "/forge-runs": "Forge runs",
    "/execution": "Execution",
    "/events": "Events",
}
"""Addresses and names of the views, in the order of the navigation."""
LONGEST_PATH = 100
"""So much of an address that is unknown is said again."""


def document(path: str, title: str, token: str) -> str:
    """Give the document of a view: the same for all but for its name, its place in the navigation, and the token.

    Parameters
    ----------
    path : str
        Address of the view in `VIEWS`.
    title : str
    token : str
        What orders must carry; handed to this user's own page alone.
    """
    links = "".join(
        f'<a href="{address}"{" aria-current=page" if address == path else ""}>{name}</a>'
        for address, name in VIEWS.items()
    )
    parts = {
        "@TITLE@": html.escape(title),
        "@NAV@": links,
        "@TOKEN@": html.escape(token),
        # By this clock an order says when it was given.
        "@NOW@": str(time.time_ns() // 1_000_000),
        "@VIEW@": html.escape(path),
    }
    # In one pass: a title may hold what looks like a mark.
    text = DOCUMENT.read_text(encoding="utf-8")
    return re.sub("|".join(parts), lambda mark: parts[mark[0]], text)


def nowhere_document(path: str) -> str:
    """Give the document of an address that no view has: what was asked for, and where the views are."""
    links = "".join(f'<li><a href="{address}">{name}</a></li>' for address, name in VIEWS.items())
    asked = html.escape(path[:LONGEST_PATH])
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Not here · Crucible</title>'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<link rel="stylesheet" href="/static/page.css"></head><body><main><h1>Not here</h1>'
        f"<p>No view is at {asked}. The views:</p><ul>{links}</ul></main></body></html>"
    )


def plotly_file() -> Path | None:
    """Find plotly's JavaScript in its Python package; None where the package is not installed."""
    spec = find_spec("plotly")
    if spec is None or not spec.submodule_search_locations:
        return None
    path = Path(next(iter(spec.submodule_search_locations))) / "package_data" / "plotly.min.js"
    return path if path.is_file() else None
