"""Panels and alerts use the same limits."""

from __future__ import annotations

import pytest

from grafana.source import limits
from grafana.source.limits import alert_limit, just_above
from grafana.source.style import BAD
from starlight_exporter.checks import limits as check_limits


@pytest.mark.parametrize(
    ("alert", "severity", "expected"),
    [
        ("StarlightHardNegativeFalsePositives", "warning", check_limits.NEGATIVES_LIMIT),
        ("StarlightFalsePositiveTargetMissed", "critical", check_limits.FPR_TARGET),
        ("StarlightLatencyAboveLimit", "critical", check_limits.LATENCY_LIMIT_SECONDS),
        ("StarlightDetectionBelowFloor", "critical", check_limits.DETECTION_FLOOR),
        ("StarlightStorageNearlyFull", "warning", 1024**3),
        ("StarlightStorageNearlyFull", "critical", 100 * 1024**2),
    ],
)
def test_reads_limit_from_alert_rule(alert: str, severity: str, expected: float) -> None:
    assert alert_limit(alert, severity) == expected


def test_reads_limit_after_metric_name() -> None:
    (_, (limit, _)) = limits.P_VALUE
    assert limit == 0.01


def test_unknown_alert_raises_lookup_error() -> None:
    with pytest.raises(LookupError, match="StarlightNoSuchThing"):
        alert_limit("StarlightNoSuchThing", "warning")


def test_rate_at_the_floor_is_bad() -> None:
    colours = [colour for value, colour in limits.DETECTIONS if value is None or value <= check_limits.DETECTION_FLOOR]
    assert colours == [BAD]
    assert just_above(check_limits.DETECTION_FLOOR) > check_limits.DETECTION_FLOOR
