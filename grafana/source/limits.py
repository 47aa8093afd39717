"""The limits that panels are coloured by. None is written here: they are the constants of the regression checks or,
where only an alert has a limit, the number in that alert's rule.
"""

from __future__ import annotations

import math
import re
from functools import cache
from pathlib import Path
from typing import Final

import yaml

from grafana.source.style import BAD, BLUE, CERTAIN, GOOD, WARNING, Steps
from starlight_exporter.checks import limits as check_limits
from starlight_exporter.publish import metrics

RULES: Final = Path(__file__).parents[2] / "prometheus" / "rules"

_NUMBER: Final = re.compile(r"(?:>=|<=|>|<|\*)\s*([0-9.]+(?:\s*\*\s*[0-9.]+)*)(?=\s*$|\s+and )", re.MULTILINE)


@cache
def alert_limit(alert: str, severity: str, of: str = "") -> float:
    """The number that an alert's rule compares with or multiplies by; a product such as `100 * 1024` is worked out.

    The last one of the first rule with this name and severity, or the first one behind the metric `of`. Raises
    LookupError if there is none.
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
    """The smallest number above a limit: a colour holds from its value on, and some limits fail at their own value."""
    return math.nextafter(limit, math.inf)


def fails_from(limit: float, colour: str = BAD) -> Steps:
    """Good below the limit, which is bad itself."""
    return ((None, GOOD), (limit, colour))


def fails_above(limit: float, colour: str = BAD) -> Steps:
    """Good up to the limit, which is good itself."""
    return ((None, GOOD), (just_above(limit), colour))


def fails_below(limit: float, colour: str = BAD) -> Steps:
    """Good from the limit on."""
    return ((None, colour), (limit, GOOD))


UNCOLOURED: Final = "transparent"
"""A cell that is as it should be, in a column where only the others are to be seen."""

NEUTRAL: Final[Steps] = ((None, BLUE),)
"""For facts that are neither good nor bad."""

FALSE_POSITIVES: Final = fails_from(check_limits.FPR_TARGET, WARNING)
FALSE_POSITIVES_CERTAIN: Final = fails_from(check_limits.FPR_TARGET)
"""For the lower bound: past the target, chance does not explain it."""

NEGATIVES: Final = fails_from(check_limits.NEGATIVES_LIMIT)
DETECTIONS: Final[Steps] = (
    (None, BAD),
    (just_above(check_limits.DETECTION_FLOOR), WARNING),
    (just_above(check_limits.DETECTION_TARGET), GOOD),
)
LATENCY: Final = fails_from(check_limits.LATENCY_LIMIT_SECONDS)
FORMAT_LIMIT: Final = check_limits.FORMAT_DEFAULT_BASELINE + check_limits.FORMAT_MARGIN
"""For a format that the baseline does not hold."""

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
MARKED: Final[Steps] = ((None, UNCOLOURED), (just_above(0), WARNING))
"""For table cells that count something that should not be there."""

P_VALUE: Final[Steps] = (
    (None, CERTAIN),
    (alert_limit("StarlightFalsePositivesAboveBaseline", "critical", metrics.COMPARISON_P_VALUE.name), UNCOLOURED),
)
"""Below it, chance hardly splits the flips so unevenly; for better or for worse, so the colour is neither."""
