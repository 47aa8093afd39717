"""Colour-blind safe colours, threshold steps and value mappings.

Colour is never the only indication of a state: every coloured cell also contains a number or a word.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Final

from grafana_foundation_sdk.builders.dashboard import (
    DashboardRangeMapOptions,
    DashboardSpecialValueMapOptions,
    ThresholdsConfig,
)
from grafana_foundation_sdk.models.dashboard import (
    DynamicConfigValue,
    RangeMap,
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
from starlight_exporter.evaluation.results import LATENCY_STAGES

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
SIGNIFICANT: Final = DEEP_BLUE

Steps = Sequence[tuple[float | None, str]]
"""Start value and colour of each step in ascending order; the first value is None."""


def _in_order(names: Sequence[str]) -> Mapping[str, str]:
    return dict(zip(names, (BLUE, ORANGE, GREEN, PURPLE, YELLOW, DEEP_BLUE, GREY), strict=False))


METHOD_COLOURS: Final = _in_order(METHODS)
FORMAT_COLOURS: Final = _in_order((*FORMATS, "other", "unknown"))
CLASS_COLOURS: Final = _in_order(FILE_CLASSES)
STAGE_COLOURS: Final = _in_order(LATENCY_STAGES)
QUANTILE_COLOURS: Final = _in_order(tuple(f"p{100 * quantile:g}" for quantile in QUANTILES))
REASON_COLOURS: Final = _in_order(NOT_MEASURED_REASONS)


def steps(*rising: tuple[float | None, str]) -> ThresholdsConfig:
    """Return absolute thresholds for steps in ascending order; the first value is None."""
    return (
        ThresholdsConfig()
        .mode(ThresholdsMode.ABSOLUTE)
        .steps([Threshold(value=value, color=colour) for value, colour in rising])
    )


def state_mappings(states: Mapping[int, tuple[str, str]]) -> list[ValueMapping]:
    """Return mappings from values to text and colour."""
    options = {
        str(value): ValueMappingResult(text=text, color=colour, index=place)
        for place, (value, (text, colour)) in enumerate(states.items())
    }
    return [ValueMap(options=options)]


def null_mapping(text: str, colour: str = UNKNOWN) -> ValueMapping:
    """Return a mapping for missing values, which would otherwise have the colour of the lowest step."""
    options = (
        DashboardSpecialValueMapOptions()
        .match(SpecialValueMatch.NULL_AND_NAN)
        .result(ValueMappingResult(text=text, color=colour, index=99))
    )
    return SpecialValueMap(options=options.build())


def small_value_mapping(limit: float) -> ValueMapping:
    """Return a mapping for values from 0 to below a limit, which would otherwise be displayed as 0."""
    options = (
        DashboardRangeMapOptions()
        .from_val(0)
        .to(math.nextafter(limit, 0))
        .result(ValueMappingResult(text=f"<{limit:g}", index=98))
    )
    return RangeMap(options=options.build())


def fixed_colour(colour: str) -> DynamicConfigValue:
    """Return an override that sets a fixed colour."""
    return DynamicConfigValue(id_val="color", value={"mode": "fixed", "fixedColor": colour})


def reference_line(colour: str = GREY) -> list[DynamicConfigValue]:
    """Return overrides for a limit, target, baseline or bound: a thin dashed line."""
    return [
        fixed_colour(colour),
        DynamicConfigValue(id_val="custom.lineStyle", value={"fill": "dash", "dash": [6, 4]}),
        DynamicConfigValue(id_val="custom.lineWidth", value=1),
        DynamicConfigValue(id_val="custom.fillOpacity", value=0),
    ]
