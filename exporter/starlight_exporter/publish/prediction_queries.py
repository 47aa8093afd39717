"""Selections of stored predictions, and their SQL."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal, get_args

SelectionDirection = Literal["false_positive", "false_negative", "broken", "fixed"]
SELECTION_DIRECTIONS: Final[tuple[SelectionDirection, ...]] = get_args(SelectionDirection)
"""False positives and negatives of one evaluation; images broken or fixed since another one."""

Shown = Literal["wrong", "all", "not_measured"]
SHOWN: Final[tuple[Shown, ...]] = get_args(Shown)

FILTERS: Final[Mapping[str, str]] = {
    "class": "file_class",
    "method": "method",
    "format": "image_format",
    "category": "category",
}
"""Name of a filter → column in SQLite."""

JOIN_BEFORE: Final = "JOIN before.predictions AS b ON b.path = p.path AND b.sha256 = p.sha256"
"""Joins the predictions `p` with those of the other evaluation for the same paths and contents."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Criteria for predictions; `filters` maps names of FILTERS to the required value.

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
    def count(self) -> str:
        """SQL expression for the number of images of `source()`."""
        return "count(*)" if self.compares else "total(p.images)"

    def source(self, *, rows: bool = False) -> str:
        """Return FROM and WHERE clauses; filter values are parameters, names are constants of this module.

        `rows` selects from the predictions instead of from the table of counts.
        """
        conditions = ["true", *(f"p.{FILTERS[name]} = ?" for name in self.filters)]
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
            case None if self.shown == "not_measured":
                conditions += ["p.not_measured IS NOT NULL"]
        table = "predictions" if rows or self.compares else "kinds"
        return f"{table} AS p {JOIN_BEFORE if self.compares else ''} WHERE {' AND '.join(conditions)}"
