"""Panel colours outside the regression checks use the numbers of the alert rules and of the exporter."""

from __future__ import annotations

import math

import pytest

from grafana.source import limits
from grafana.source.limits import alert_limit, just_above
from grafana.source.style import SIGNIFICANT, WARNING, Steps
from starlight_exporter.checks.significance import SIGNIFICANCE_LEVEL
from starlight_exporter.statistics.latency_ratio import BUSY_CONTENTION


@pytest.mark.parametrize(
    ("alert", "severity", "expected"),
    [
        ("StarlightEvaluationStale", "warning", 2.0),
        ("StarlightStorageNearlyFull", "warning", 1024**3),
        ("StarlightStorageNearlyFull", "critical", 100 * 1024**2),
    ],
)
def test_reads_limit_from_alert_rule(alert: str, severity: str, expected: float) -> None:
    assert alert_limit(alert, severity) == expected


def test_unknown_alert_raises_lookup_error() -> None:
    with pytest.raises(LookupError, match="StarlightNoSuchThing"):
        alert_limit("StarlightNoSuchThing", "warning")


def colour_at(steps: Steps, value: float) -> str:
    """Return the colour that Grafana applies to a value: that of the last step that starts at or below it."""
    return [colour for start, colour in steps if start is None or start <= value][-1]


def test_p_value_is_significant_up_to_the_level() -> None:
    assert colour_at(limits.P_VALUE, SIGNIFICANCE_LEVEL) == SIGNIFICANT
    assert colour_at(limits.P_VALUE, math.nextafter(SIGNIFICANCE_LEVEL, 1.0)) == limits.NO_COLOUR


def test_machine_is_busy_above_the_contention_of_the_checks() -> None:
    assert colour_at(limits.BUSY, BUSY_CONTENTION) != WARNING
    assert colour_at(limits.BUSY, just_above(BUSY_CONTENTION)) == WARNING
