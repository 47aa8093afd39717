"""The predictions of one evaluation for pages: selections, a page at a time, and flips since another evaluation.

A selection is a mask over the columns of the predictions; only the rows on the page are read. Every page over a million
predictions takes less than 300 ms: `benchmarks/evidence_pages.py`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from starlight_exporter.evaluation.prediction_arrays import MISSING
from starlight_exporter.evaluation.prediction_table import PredictionTable
from starlight_exporter.evaluation.results import Prediction
from starlight_exporter.publish.prediction_queries import FILTERS, Selection, has_value, shown


@dataclass(frozen=True, slots=True)
class StoredPrediction:
    """A prediction with its number: its position in the evaluation (from 0), used in addresses of pages."""

    number: int
    prediction: Prediction


@dataclass(frozen=True, slots=True)
class FlipCount:
    """Counts of the images of one kind that two evaluations measured; `both` is their number."""

    file_class: str
    method: str | None
    image_format: str | None
    category: str | None
    both: int
    wrong_before: int
    wrong_after: int
    fixed: int
    broken: int


class PredictionStore:
    """Read stored predictions for one request. Every method may raise StorageError, which names the file."""

    def __init__(self, path: Path, *, before: Path | None = None) -> None:
        """`before` is the file of the evaluation that `broken` and `fixed` compare with."""
        self._table = PredictionTable(path)
        self._before = None if before is None else PredictionTable(before)
        self._masks: dict[tuple[str, str], NDArray[np.bool_]] = {}

    def count(self, selection: Selection) -> int:
        """Return the number of selected predictions."""
        return int(np.count_nonzero(self._selected(selection)))

    def measured(self, selection: Selection) -> int:
        """Return the number of predictions with a verdict and label that match the filters of a selection."""
        return int(np.count_nonzero(self._filtered(self._table.wrong != MISSING, selection.filters)))

    def page(self, selection: Selection, *, limit: int, offset: int = 0) -> list[StoredPrediction]:
        """Return a part of a selection, most confident verdicts first."""
        return list(self.rows(selection, limit=limit, offset=offset))

    def rows(self, selection: Selection, *, limit: int, offset: int = 0) -> Iterator[StoredPrediction]:
        """Return the rows of `page`, which are read one block after another."""
        order = self._table.column("order")
        numbers = order[self._selected(selection)[order]][offset : offset + limit].tolist()
        return map(StoredPrediction, numbers, self._table.rows(numbers))

    def facets(self, selection: Selection) -> dict[str, list[tuple[str, int]]]:
        """Return the values of each filter that occur under the other filters, with their counts."""
        every = self._selected(Selection(selection.shown, selection.slices, selection.direction))
        facets = {}
        for name, field in FILTERS.items():
            others = {key: value for key, value in selection.filters.items() if key in FILTERS and key != name}
            codes = self._table.column(field)[self._filtered(every, others)]
            counts = np.bincount(codes + 1, minlength=1)[1:].tolist()
            found = zip(self._table.names(field), counts, strict=False)
            facets[name] = sorted((value, count) for value, count in found if count)
        return facets

    def by_number(self, number: int) -> StoredPrediction | None:
        """Return the prediction with this number."""
        return next((StoredPrediction(*one) for one in self.by_numbers([number]).items()), None)

    def by_path(self, path: str) -> StoredPrediction | None:
        """Return the prediction for a file."""
        return next((StoredPrediction(*one) for one in self._table.by_path([path]).items()), None)

    def by_numbers(self, numbers: Sequence[int]) -> dict[int, Prediction]:
        """Return the predictions with these numbers; numbers without one are absent."""
        return self._table.by_number(numbers)

    def flip_counts(self) -> list[FlipCount]:
        """Return flips since `before` by kind of file, without files that changed or that one did not measure."""
        table, before = self._table, self._wrong_before
        both = np.flatnonzero((table.wrong != MISSING) & (before != MISSING))
        fields = tuple(FILTERS.values())
        kinds, kind = _distinct([table.column(field)[both] for field in fields])
        now, then = table.wrong[both] == 1, before[both] == 1
        counted = (np.ones(len(both)), then, now, then & ~now, now & ~then)
        counts = np.stack([np.bincount(kind, weights=one, minlength=len(kinds)) for one in counted], axis=1)
        found = []
        for codes, row in zip(kinds.tolist(), counts.astype(np.int64).tolist(), strict=True):
            file_class, method, image_format, category = (
                None if code == MISSING else table.names(field)[code] for field, code in zip(fields, codes, strict=True)
            )
            found.append(FlipCount(str(file_class), method, image_format, category, *row))
        return sorted(found, key=lambda one: (one.file_class, *map(str, (one.method, one.image_format, one.category))))

    def previous(self, stored: Sequence[StoredPrediction]) -> dict[int, StoredPrediction]:
        """Return the predictions of `before` for the same paths, by their number in this store."""
        if self._before is None or not stored:
            return {}
        numbers = {one.prediction.path: one.number for one in stored}
        earlier = self._before.by_path(list(numbers))
        return {numbers[one.path]: StoredPrediction(number, one) for number, one in earlier.items()}

    def _selected(self, selection: Selection) -> NDArray[np.bool_]:
        if selection.compares:
            now, then = self._table.wrong, self._wrong_before
            is_broken = selection.direction == "broken"
            chosen = (then == (0 if is_broken else 1)) & (now == (1 if is_broken else 0))
        else:
            chosen = shown(self._table, selection)
        return self._filtered(chosen, selection.filters)

    def _filtered(self, chosen: NDArray[np.bool_], filters: Mapping[str, str]) -> NDArray[np.bool_]:
        for one in filters.items():
            if one not in self._masks:
                self._masks[one] = has_value(self._table, *one)
            chosen = chosen & self._masks[one]
        return chosen

    @cached_property
    def _wrong_before(self) -> NDArray[np.int8]:
        """Whether the verdict of `before` on the same file was wrong, MISSING if it has none, of shape (images,)."""
        if self._before is None:
            raise ValueError("broken and fixed require the predictions of another evaluation")
        numbers = self._table.aligned(self._before)
        return np.where(numbers == MISSING, MISSING, self._before.wrong[numbers]).astype(np.int8)


def _distinct(columns: Sequence[NDArray[np.integer]]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the distinct rows of columns of codes, shape (rows, columns), and the row of each entry."""
    key = np.zeros(len(columns[0]), np.int64)
    for column in columns:
        key = key * (int(column.max(initial=0)) + 2) + column + 1
    _, first, place = np.unique(key, return_index=True, return_inverse=True)
    return np.stack([column[first] for column in columns], axis=1).astype(np.int64), place
