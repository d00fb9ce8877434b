"""Timeframes above the minute, and how complete a span must be before anything is said about it."""

from __future__ import annotations

TIMEFRAMES = (15, 60)
"""Higher timeframes of the feature pipeline, minutes."""

COVERAGE = 0.9
"""Share of a window's minutes that must be present before anything is said about the window."""
