"""Alerts of the regression checks."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from starlight_exporter.checks.limits import CheckName

ALERT_NAMES: Final[Mapping[CheckName, str]] = MappingProxyType(
    {
        "fpr_baseline": "StarlightFalsePositivesAboveBaseline",
        "fpr_stability": "StarlightFalsePositivesUnstable",
        "fpr_target": "StarlightFalsePositiveTargetMissed",
        "detection_baseline": "StarlightDetectionBelowBaseline",
        "detection_floor": "StarlightDetectionBelowFloor",
        "latency_baseline": "StarlightLatencyAboveBaseline",
        "latency_limit": "StarlightLatencyAboveLimit",
        "format_consistency": "StarlightFormatInconsistent",
        "negatives": "StarlightHardNegativeFalsePositives",
    }
)
"""The alert rule of each check, which is also the name of its runbook; the detection target has none."""
