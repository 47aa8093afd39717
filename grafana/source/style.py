"""Colours that stay apart for every kind of colour vision, and the words that stand for numbers.

State is never told by colour alone: every coloured cell also has its number or its word.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from grafana_foundation_sdk.builders.dashboard import DashboardSpecialValueMapOptions, ThresholdsConfig
from grafana_foundation_sdk.models.dashboard import (
    DynamicConfigValue,
    SpecialValueMap,
    SpecialValueMatch,
    Threshold,
    ThresholdsMode,
    ValueMap,
    ValueMapping,
    ValueMappingResult,
)

from starlight_exporter.dataset.dataset import FILE_CLASSES
from starlight_exporter.detector.contract import FORMATS, METHODS
from starlight_exporter.errors import NOT_MEASURED_REASONS
from starlight_exporter.evaluation.latency import QUANTILES
from starlight_exporter.evaluation.results import STAGES

# Okabe and Ito, "Color Universal Design", 2008.
BLUE: Final = "#56B4E9"
ORANGE: Final = "#E69F00"
GREEN: Final = "#009E73"
YELLOW: Final = "#F0E442"
PURPLE: Final = "#CC79A7"
RED: Final = "#D55E00"
DEEP_BLUE: Final = "#0072B2"
GREY: Final = "#8E8E8E"

GOOD, WARNING, BAD, UNKNOWN = GREEN, ORANGE, RED, GREY
MODEL_CHANGE: Final = PURPLE
CERTAIN: Final = DEEP_BLUE

Steps = Sequence[tuple[float | None, str]]
"""From which value on which colour holds, lowest first; the first value is None."""


def _in_order(names: Sequence[str]) -> Mapping[str, str]:
    return dict(zip(names, (BLUE, ORANGE, GREEN, PURPLE, YELLOW, DEEP_BLUE, GREY), strict=False))


METHOD_COLOURS: Final = _in_order(METHODS)
FORMAT_COLOURS: Final = _in_order((*FORMATS, "other", "unknown"))
CLASS_COLOURS: Final = _in_order(FILE_CLASSES)
STAGE_COLOURS: Final = _in_order(STAGES)
QUANTILE_COLOURS: Final = _in_order(tuple(f"p{100 * quantile:g}" for quantile in QUANTILES))
REASON_COLOURS: Final = _in_order(NOT_MEASURED_REASONS)


def steps(*rising: tuple[float | None, str]) -> ThresholdsConfig:
    """Absolute threshold steps, lowest first; the first one's value is None."""
    return (
        ThresholdsConfig()
        .mode(ThresholdsMode.ABSOLUTE)
        .steps([Threshold(value=value, color=colour) for value, colour in rising])
    )


def words(meanings: Mapping[int, tuple[str, str]]) -> list[ValueMapping]:
    """Value → its word and colour."""
    options = {
        str(value): ValueMappingResult(text=text, color=colour, index=place)
        for place, (value, (text, colour)) in enumerate(meanings.items())
    }
    return [ValueMap(options=options)]


def nothing_is(text: str, colour: str = UNKNOWN) -> ValueMapping:
    """No value: without this it would have the colour of the lowest step. What should be there and is not is grey."""
    options = (
        DashboardSpecialValueMapOptions()
        .match(SpecialValueMatch.NULL_AND_NAN)
        .result(ValueMappingResult(text=text, color=colour, index=99))
    )
    return SpecialValueMap(options=options.build())


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
    ]
