"""A fixed result by payload with all parts, for tests of publishers."""

from __future__ import annotations

from typing import Final

from starlight_exporter.evaluation.payload_results import MethodPayload, PayloadResult, PropertySlice, RateBin
from starlight_exporter.statistics.intervals import proportion
from starlight_exporter.statistics.isotonic import CurvePoint, DoseAtLevel

PAYLOAD: Final = PayloadResult(
    methods={
        "lsb": MethodPayload(
            unit="bits per pixel",
            images=180,
            unknown=17,
            bins=(
                RateBin("0.01 to 0.02", 0.0144, proportion(9, 60)),
                RateBin("0.1 to 0.2", 0.148, proportion(118, 120)),
            ),
            curve=(CurvePoint(0.0144, 0.15, 0.081, 0.253), CurvePoint(0.148, 118 / 120, 0.949, 0.997)),
            thresholds=(
                DoseAtLevel(0.5, 0.0388, 0.0121, 0.0972, None),
                DoseAtLevel(0.95, 0.133, 0.0121, None, None),
            ),
        ),
        "eoi": MethodPayload(
            unit="bytes",
            images=40,
            unknown=0,
            bins=(RateBin("1000 to 2000", 1_250.5, proportion(40, 40)),),
            curve=(CurvePoint(1_250.5, 1.0, None, None),),
            thresholds=(
                DoseAtLevel(0.5, None, None, None, "always above"),
                DoseAtLevel(0.95, None, None, None, "always above"),
            ),
        ),
    },
    not_measured=None,
    slices={
        "size": (
            PropertySlice("4096 to 16384", proportion(70, 100), proportion(1, 200)),
            PropertySlice("65536 to 262144", proportion(90, 100), None),
        ),
        "reaches_crop": (
            PropertySlice("false", proportion(0, 20), None),
            PropertySlice("true", proportion(157, 160), None),
        ),
        "source": (PropertySlice("camera", proportion(160, 200), proportion(0, 150)),),
    },
)
