"""Colours and thresholds. Every number is one of `exporter.evaluation.regression`: panels and alerts agree."""

from __future__ import annotations

from typing import Final

from grafana_foundation_sdk.builders.dashboard import ThresholdsConfig
from grafana_foundation_sdk.models.dashboard import (
    DynamicConfigValue,
    Threshold,
    ThresholdsMode,
    ValueMap,
    ValueMappingResult,
)

from exporter.evaluation import regression

# Okabe and Ito, "Color Universal Design", 2008: told apart with every kind of colour vision.
BLUE: Final = "#56B4E9"
ORANGE: Final = "#E69F00"
GREEN: Final = "#009E73"
YELLOW: Final = "#F0E442"
PURPLE: Final = "#CC79A7"
RED: Final = "#D55E00"
DEEP_BLUE: Final = "#0072B2"
GREY: Final = "#8E8E8E"

GOOD, WARNING, BAD = GREEN, ORANGE, RED

METHOD_COLOURS: Final = {"alpha": BLUE, "palette": ORANGE, "lsb": GREEN, "exif": PURPLE, "eoi": YELLOW}

NOT_MEASURED: Final = "not measured"


def steps(*rising: tuple[float | None, str]) -> ThresholdsConfig:
    """Absolute threshold steps, lowest first; the first one's value is None."""
    return (
        ThresholdsConfig()
        .mode(ThresholdsMode.ABSOLUTE)
        .steps([Threshold(value=value, color=colour) for value, colour in rising])
    )


def plain(colour: str = BLUE) -> ThresholdsConfig:
    """One colour for every value: the panel tells facts that are neither good nor bad."""
    return steps((None, colour))


FALSE_POSITIVES: Final = ((None, GOOD), (regression.FPR_TARGET, BAD))
NEGATIVES: Final = ((None, GOOD), (regression.NEGATIVES_LIMIT, BAD))
DETECTIONS: Final = ((None, BAD), (regression.DETECTION_FLOOR, WARNING), (regression.DETECTION_TARGET, GOOD))
LATENCY: Final = ((None, GOOD), (regression.LATENCY_LIMIT_SECONDS, BAD))
P_VALUE: Final = ((None, WARNING), (0.05, GREY))
ANY_IS_BAD: Final = ((None, GOOD), (1.0, BAD))
ANY_IS_WARNING: Final = ((None, GOOD), (1.0, WARNING))


def states(**texts: tuple[int, str, str]) -> list[ValueMap]:
    """Value → text and colour, one keyword per state: `healthy=(0, "healthy", GREEN)`."""
    return [
        ValueMap(
            options={
                str(value): ValueMappingResult(text=text, color=colour, index=place)
                for place, (value, text, colour) in enumerate(texts.values())
            }
        )
    ]


def fixed_colour(colour: str) -> DynamicConfigValue:
    """Override: this series in this colour."""
    return DynamicConfigValue(id_val="color", value={"mode": "fixed", "fixedColor": colour})


def reference_line(colour: str = GREY) -> list[DynamicConfigValue]:
    """Overrides of a series that is a limit, a target, a baseline or a bound: thin and dashed."""
    return [
        fixed_colour(colour),
        DynamicConfigValue(id_val="custom.lineStyle", value={"fill": "dash", "dash": [6, 4]}),
        DynamicConfigValue(id_val="custom.lineWidth", value=1),
        DynamicConfigValue(id_val="custom.fillOpacity", value=0),
        DynamicConfigValue(id_val="custom.showPoints", value="never"),
    ]
