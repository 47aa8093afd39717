"""Selections of stored predictions, and their SQL."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, get_args

from starlight_exporter.dataset.embedding import RATE_UNITS
from starlight_exporter.evaluation.payload_results import RATE_BINS, SIZE_BINS
from starlight_exporter.statistics.bins import Bins

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
"""Name of a filter → column in SQLite."""


def _bin_of(value: str, bins: Bins) -> str:
    """Return an SQL expression for the name of the bin of a value, NULL if the value is NULL."""
    below = " ".join(
        f"WHEN {value} < {edge!r} THEN '{name}'" for edge, name in zip(bins.edges, bins.names, strict=False)
    )
    return f"CASE WHEN {value} IS NULL THEN NULL {below} ELSE '{bins.names[-1]}' END"


def _rate_bin() -> str:
    """Return an SQL expression for the bin of the embedding rate; the same value as `dataset.embedding`."""
    of_unit = {
        "bits per pixel": "(8.0 * p.payload_bytes / (p.width * p.height))",
        "bits per palette index": "(8.0 * p.payload_bytes / (p.width * p.height))",
        "bytes": "p.payload_bytes",
    }
    cases = (f"WHEN '{method}' THEN {_bin_of(of_unit[unit], RATE_BINS[unit])}" for method, unit in RATE_UNITS.items())
    return f"CASE p.method {' '.join(cases)} END"


SLICE_FILTERS: Final[Mapping[str, str]] = {
    "embedding_rate": _rate_bin(),
    "size": _bin_of("(p.width * p.height)", SIZE_BINS),
    "reaches_crop": "CASE p.reaches_crop WHEN 0 THEN 'false' WHEN 1 THEN 'true' END",
    "bit_order": "p.bit_order",
    "source": "p.source",
}
"""Name of a filter by payload or by a property of the image → SQL expression, which is evaluated for every image."""

JOIN_BEFORE: Final = "JOIN before.predictions AS b ON b.path = p.path AND b.sha256 = p.sha256"
"""Joins the predictions `p` with those of the other evaluation for the same paths and contents."""


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

    @property
    def count(self) -> str:
        """SQL expression for the number of images of `source()`."""
        return "count(*)" if self._of_rows else "total(p.images)"

    @property
    def _of_rows(self) -> bool:
        """Whether the table of counts does not suffice: it has neither verdicts nor slices."""
        return self.compares or bool(self.slices) or (self.direction is None and self.shown == "alarms")

    def source(self, *, rows: bool = False) -> str:
        """Return FROM and WHERE clauses; filter values are parameters, names are constants of this module.

        `rows` selects from the predictions instead of from the table of counts.
        """
        conditions = ["true", *(f"{_expression(name)} = ?" for name in self.filters)]
        match self.direction:
            case "broken":
                conditions += ["b.wrong = 0 AND p.wrong = 1"]
            case "fixed":
                conditions += ["b.wrong = 1 AND p.wrong = 0"]
            case "false_positive":
                conditions += ["p.wrong = 1 AND p.file_class != 'stego'"]
            case "false_negative":
                conditions += ["p.wrong = 1 AND p.file_class = 'stego'"]
            case None if self.shown == "wrong":
                conditions += ["p.wrong = 1"]
            case None if self.shown == "alarms":
                conditions += ["p.verdict = 1"]
            case None if self.shown == "not_measured":
                conditions += ["p.not_measured IS NOT NULL"]
        table = "predictions" if rows or self._of_rows else "kinds"
        return f"{table} AS p {JOIN_BEFORE if self.compares else ''} WHERE {' AND '.join(conditions)}"


def _expression(name: str) -> str:
    return f"p.{FILTERS[name]}" if name in FILTERS else SLICE_FILTERS[name]
