"""Panels and alerts take their limits from the same places."""

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
def test_the_number_of_an_alert_is_read_from_its_rule(alert: str, severity: str, expected: float) -> None:
    assert alert_limit(alert, severity) == expected


def test_the_number_behind_a_metric_is_read_from_its_rule() -> None:
    (_, (limit, _)) = limits.P_VALUE
    assert limit == 0.01


def test_an_alert_that_does_not_exist_is_an_error() -> None:
    with pytest.raises(LookupError, match="StarlightNoSuchThing"):
        alert_limit("StarlightNoSuchThing", "warning")


def test_a_rate_at_its_floor_is_not_good_enough() -> None:
    colours = [colour for value, colour in limits.DETECTIONS if value is None or value <= check_limits.DETECTION_FLOOR]
    assert colours == [BAD]
    assert just_above(check_limits.DETECTION_FLOOR) > check_limits.DETECTION_FLOOR
