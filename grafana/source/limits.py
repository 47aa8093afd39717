"""Limits for panel colours of values that no regression check covers: numbers in alert rules, and levels."""

from __future__ import annotations

import math
import re
from functools import cache
from pathlib import Path
from typing import Final

import yaml

from grafana.source.style import BAD, BLUE, GOOD, SIGNIFICANT, WARNING, Steps
from starlight_exporter.checks.significance import SIGNIFICANCE_LEVEL
from starlight_exporter.evaluation.drift import MIN_PSI
from starlight_exporter.statistics.latency_ratio import BUSY_CONTENTION

RULES: Final = Path(__file__).parents[2] / "prometheus" / "rules"

_NUMBER: Final = re.compile(r"(?:>=|<=|>|<|\*)\s*([0-9.]+(?:\s*\*\s*[0-9.]+)*)(?=\s*$|\s+and )", re.MULTILINE)


@cache
def alert_limit(alert: str, severity: str) -> float:
    """Return the number that an alert rule compares with or multiplies by; products such as `100 * 1024` are evaluated.

    Uses the last number of the first rule with this name and severity. Raises LookupError if there is none.
    """
    for file in sorted(RULES.glob("*.yml")):
        for group in yaml.safe_load(file.read_text(encoding="utf-8"))["groups"]:
            for rule in group["rules"]:
                if rule.get("alert") == alert and rule["labels"]["severity"] == severity:
                    numbers = _NUMBER.findall(rule["expr"])
                    if numbers:
                        return math.prod(float(factor) for factor in numbers[-1].split("*"))
    raise LookupError(f"no rule {alert} with severity {severity} that compares with a number")


@cache
def alerts_of(file: str) -> tuple[str, ...]:
    """Return the names of the alerts of a rule file."""
    groups = yaml.safe_load((RULES / file).read_text(encoding="utf-8"))["groups"]
    return tuple(sorted({rule["alert"] for group in groups for rule in group["rules"]}))


def just_above(limit: float) -> float:
    """Return the next float above a limit, because Grafana applies a colour from its value on."""
    return math.nextafter(limit, math.inf)


def fails_above(limit: float, colour: str = BAD) -> Steps:
    """Return steps for values that are bad above the limit."""
    return ((None, GOOD), (just_above(limit), colour))


def fails_below(limit: float, colour: str = BAD) -> Steps:
    """Return steps for values that are bad below the limit."""
    return ((None, colour), (limit, GOOD))


NO_COLOUR: Final = "transparent"
"""For cells without a problem in columns that highlight only problems."""

NEUTRAL: Final[Steps] = ((None, BLUE),)
"""For values that are neither good nor bad."""

BALANCE: Final = fails_below(alert_limit("StarlightDatasetUnbalanced", "warning"), WARNING)
GAP: Final = fails_above(alert_limit("StarlightTrainingOverfitted", "warning"), WARNING)
STALE_INTERVALS: Final = alert_limit("StarlightEvaluationStale", "warning")
STALE: Final = fails_above(STALE_INTERVALS)
FREE_SPACE: Final[Steps] = (
    (None, BAD),
    (alert_limit("StarlightStorageNearlyFull", "critical"), WARNING),
    (alert_limit("StarlightStorageNearlyFull", "warning"), GOOD),
)
ANY_IS_BAD: Final = fails_above(0)
ANY_IS_WARNING: Final = fails_above(0, WARNING)
HIGHLIGHT_ANY: Final[Steps] = ((None, NO_COLOUR), (just_above(0), WARNING))
"""For table cells that count problems."""

DRIFT: Final[Steps] = ((None, NO_COLOUR), (MIN_PSI, WARNING))
"""From this population stability index on, a significant difference is drift."""

P_VALUE: Final[Steps] = ((None, SIGNIFICANT), (just_above(SIGNIFICANCE_LEVEL), NO_COLOUR))
"""Statistically significant up to the level; the colour is neutral because the difference can be an improvement."""
BUSY: Final = fails_above(BUSY_CONTENTION, WARNING)
"""Above this contention the machine was busy during the latency run."""
