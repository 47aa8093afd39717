"""Selections of stored predictions, and which images they contain."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from starlight_exporter.dataset.embedding import RATE_UNITS
from starlight_exporter.evaluation.payload import embedding_rates, slice_codes
from starlight_exporter.evaluation.payload_results import RATE_BINS, SliceProperty
from starlight_exporter.evaluation.prediction_arrays import MISSING
from starlight_exporter.evaluation.prediction_table import PredictionTable

SelectionDirection = Literal["false_positive", "false_negative", "broken", "fixed"]
SELECTION_DIRECTIONS: Final[tuple[SelectionDirection, ...]] = get_args(SelectionDirection)
"""False positives and negatives of one evaluation; images broken or fixed since another one."""

Shown = Literal["wrong", "all", "alarms", "not_measured"]
SHOWN: Final[tuple[Shown, ...]] = get_args(Shown)

FILTERS: Final[Mapping[str, str]] = {
    "class": "file_class",
    "method": "method",
    "format": "image_format",
    "category": "category",
}
"""Name of a filter → field of the prediction."""

_SLICES: Final[tuple[SliceProperty, ...]] = ("size", "reaches_crop", "bit_order", "source")
SLICE_FILTERS: Final = ("embedding_rate", *_SLICES)
"""Names of the filters by payload or by a property of the image."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Criteria for predictions; `filters` maps names of FILTERS and SLICE_FILTERS to the required value.

    A `direction` takes precedence over `shown`; `broken` and `fixed` require another evaluation.
    """

    shown: Shown = "wrong"
    filters: Mapping[str, str] = field(default_factory=dict)
    direction: SelectionDirection | None = None

    @property
    def compares(self) -> bool:
        """Whether the predictions of another evaluation are required."""
        return self.direction in ("broken", "fixed")

    @property
    def slices(self) -> dict[str, str]:
        """The filters that are in SLICE_FILTERS."""
        return {name: value for name, value in self.filters.items() if name in SLICE_FILTERS}


def shown(table: PredictionTable, selection: Selection) -> NDArray[np.bool_]:
    """Return which images a selection without filters, that does not compare, contains, of shape (images,)."""
    wrong: NDArray[np.bool_] = table.wrong == 1
    match selection.direction or selection.shown:
        case "false_positive":
            return wrong & ~table.equals("file_class", "stego")
        case "false_negative":
            return wrong & table.equals("file_class", "stego")
        case "wrong":
            return wrong
        case "alarms":
            return table.positive
        case "not_measured":
            return ~table.equals("not_measured", None)
        case _:
            return np.ones(len(table), np.bool_)


def has_value(table: PredictionTable, name: str, value: str) -> NDArray[np.bool_]:
    """Return which images have the value of a filter, of shape (images,)."""
    if name in FILTERS:
        return table.equals(FILTERS[name], value)
    if name == "embedding_rate":
        return _is_in_rate_bin(table, value)
    codes, names = slice_codes(table, name)  # type: ignore[arg-type]  # one of _SLICES
    found: NDArray[np.bool_] = codes == (names.index(value) if value in names else len(names))
    return found


def _is_in_rate_bin(table: PredictionTable, name: str) -> NDArray[np.bool_]:
    found = np.zeros(len(table), np.bool_)
    for method, unit in RATE_UNITS.items():
        bins = RATE_BINS[unit]
        if name in bins.names:
            rates = embedding_rates(table, method)
            found |= np.where(np.isnan(rates), MISSING, bins.index(rates)) == bins.names.index(name)
    return found
