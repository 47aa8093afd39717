"""Limits for panel colours: constants of the regression checks, or numbers in alert rules."""

from __future__ import annotations

import math
import re
from functools import cache
from pathlib import Path
from typing import Final

import yaml

from grafana.source.style import BAD, BLUE, GOOD, SIGNIFICANT, WARNING, Steps
from starlight_exporter.checks.limits import DEFAULT_LIMITS
from starlight_exporter.publish.families import comparisons

RULES: Final = Path(__file__).parents[2] / "prometheus" / "rules"

_NUMBER: Final = re.compile(r"(?:>=|<=|>|<|\*)\s*([0-9.]+(?:\s*\*\s*[0-9.]+)*)(?=\s*$|\s+and )", re.MULTILINE)


@cache
def alert_limit(alert: str, severity: str, of: str = "") -> float:
    """Return the number that an alert rule compares with or multiplies by; products such as `100 * 1024` are evaluated.

    Uses the last number of the first rule with this name and severity, or the first one after the metric `of`.
    Raises LookupError if there is none.
    """
    for file in sorted(RULES.glob("*.yml")):
        for group in yaml.safe_load(file.read_text(encoding="utf-8"))["groups"]:
            for rule in group["rules"]:
                if rule.get("alert") == alert and rule["labels"]["severity"] == severity:
                    numbers = _NUMBER.findall(rule["expr"].partition(of)[2] if of else rule["expr"])
                    if numbers:
                        return math.prod(float(factor) for factor in numbers[0 if of else -1].split("*"))
    raise LookupError(f"no rule {alert} with severity {severity} that compares with a number")


def just_above(limit: float) -> float:
    """Return the next float above a limit, because Grafana applies a colour from its value on."""
    return math.nextafter(limit, math.inf)


def fails_from(limit: float, colour: str = BAD) -> Steps:
    """Return steps for a check that fails at the limit or above."""
    return ((None, GOOD), (limit, colour))


def fails_above(limit: float, colour: str = BAD) -> Steps:
    """Return steps for a check that fails above the limit."""
    return ((None, GOOD), (just_above(limit), colour))


def fails_below(limit: float, colour: str = BAD) -> Steps:
    """Return steps for a check that fails below the limit."""
    return ((None, colour), (limit, GOOD))


NO_COLOUR: Final = "transparent"
"""For cells without a problem in columns that highlight only problems."""

NEUTRAL: Final[Steps] = ((None, BLUE),)
"""For values that are neither good nor bad."""

FALSE_POSITIVES: Final = fails_from(DEFAULT_LIMITS.fpr_target, WARNING)
FALSE_POSITIVES_SIGNIFICANT: Final = fails_from(DEFAULT_LIMITS.fpr_target)
"""For the lower bound: above the target the result is statistically significant."""

NEGATIVES: Final = fails_from(DEFAULT_LIMITS.negatives)
DETECTIONS: Final[Steps] = (
    (None, BAD),
    (just_above(DEFAULT_LIMITS.detection_floor), WARNING),
    (just_above(DEFAULT_LIMITS.detection_target), GOOD),
)
LATENCY: Final = fails_from(DEFAULT_LIMITS.latency_limit)
FORMAT_LIMIT: Final = DEFAULT_LIMITS.format_default + DEFAULT_LIMITS.format_consistency
"""Limit of a format without a baseline."""

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

P_VALUE: Final[Steps] = (
    (None, SIGNIFICANT),
    (alert_limit("StarlightFalsePositivesAboveBaseline", "critical", comparisons.COMPARISON_P_VALUE.name), NO_COLOUR),
)
"""Statistically significant below the level; the colour is neutral because the difference can be an improvement."""
