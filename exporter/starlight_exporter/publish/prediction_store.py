"""The predictions of one evaluation as an SQLite file: written once, then read a page at a time.

SQLite, not CSV: a filtered page of 50,000 predictions with all counts takes 0.05 s of CPU time, reading the CSV file
takes 1.0 s (Python 3.11). `benchmarks/evidence_pages.py` measures the pages over HTTP.
"""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from starlight_exporter.analysis.comparison import is_wrong
from starlight_exporter.errors import StorageError
from starlight_exporter.evaluation.results import Prediction
from starlight_exporter.file_access import open_regular
from starlight_exporter.publish.prediction_columns import COLUMNS, PredictionColumn, prediction_from
from starlight_exporter.publish.prediction_queries import FILTERS, JOIN_BEFORE, Selection

_SQL_TYPES: Final = {str: "TEXT", int: "INTEGER", float: "REAL", bool: "INTEGER", bytes: "BLOB"}
_BOOLEANS: Final = tuple(column.name for column in COLUMNS if column.type is bool)
_DEFINITIONS: Final = ", ".join(
    f"{column.field} {_SQL_TYPES[column.type]}{' NOT NULL' if column.required else ''}" for column in COLUMNS
)
_SCHEMA: Final = (
    f"CREATE TABLE predictions (number INTEGER PRIMARY KEY, {_DEFINITIONS}, wrong INTEGER, sureness REAL) STRICT;"
)
# Created after all rows are inserted. `kinds` answers every count from a few hundred rows; `by_sureness` covers the
# order and the filters of a page, so that only the rows on the page are read.
_DERIVED: Final = """
CREATE TABLE kinds AS
  SELECT file_class, method, category, image_format, wrong, not_measured, count(*) AS images
  FROM predictions GROUP BY 1, 2, 3, 4, 5, 6;
CREATE UNIQUE INDEX by_path ON predictions (path);
CREATE INDEX by_wrong ON predictions (wrong) WHERE wrong = 1;
CREATE INDEX by_sureness ON predictions
  (sureness DESC, number, wrong, file_class, method, category, image_format, not_measured);
"""


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


def write_store(path: Path, predictions: Sequence[Prediction]) -> None:
    """Write a new store. Raises sqlite3.Error, OSError and ValueError: the caller deletes what it created."""
    with closing(sqlite3.connect(path)) as database:
        # No journal: the caller renames the file into place once it is complete.
        database.execute("PRAGMA journal_mode = OFF")
        database.execute("PRAGMA synchronous = OFF")
        database.executescript(_SCHEMA)
        parameters = ", ".join("?" * (len(COLUMNS) + 3))
        with database:
            database.executemany(
                f"INSERT INTO predictions VALUES ({parameters})",
                (_values(number, prediction) for number, prediction in enumerate(predictions)),
            )
        database.executescript(_DERIVED)


class PredictionStore:
    """Read a store from any thread; every call opens the file. StorageError names a file that cannot be read."""

    def __init__(self, path: Path, *, before: Path | None = None) -> None:
        """`before` is the store of the evaluation that `broken` and `fixed` compare with."""
        self._path = path
        self._before = before

    def count(self, selection: Selection) -> int:
        """Return the number of selected predictions."""
        return int(self._read(f"SELECT {selection.count} FROM {selection.source()}", selection)[0][0])

    def measured(self, selection: Selection) -> int:
        """Return the number of predictions with a verdict that match the filters of a selection."""
        every = Selection("all", filters=selection.filters)
        return int(self._read(f"SELECT {every.count} FROM {every.source()} AND p.wrong IS NOT NULL", every)[0][0])

    def page(self, selection: Selection, *, limit: int, offset: int = 0) -> list[StoredPrediction]:
        """Return a part of a selection, most confident verdicts first."""
        order = "ORDER BY p.sureness DESC, p.number"
        numbers = f"SELECT p.number FROM {selection.source(rows=True)} {order} LIMIT ? OFFSET ?"
        query = f"SELECT {self._selected} FROM predictions AS p WHERE p.number IN ({numbers}) {order}"
        return [_stored(cells) for cells in self._read(query, selection, limit, offset)]

    def facets(self, selection: Selection) -> dict[str, list[tuple[str, int]]]:
        """Return the values of each filter that occur under the other filters, with their counts."""
        every = Selection(selection.shown, selection.slices, selection.direction)
        columns = ", ".join(f"p.{column}" for column in FILTERS.values())
        # One query for all filters: joining two evaluations is the slowest part of a page.
        kinds = self._read(f"SELECT {every.count}, {columns} FROM {every.source()} GROUP BY {columns}", every)
        facets = {}
        for name in FILTERS:
            counts: Counter[str] = Counter()
            for count, *cells in kinds:
                kind = dict(zip(FILTERS, cells, strict=True))
                others = all(
                    kind[other] == value
                    for other, value in selection.filters.items()
                    if other in kind and other != name
                )
                if others and kind[name] is not None:
                    counts[kind[name]] += int(count)
            facets[name] = sorted(counts.items())
        return facets

    def by_number(self, number: int) -> StoredPrediction | None:
        """Return the prediction with this number."""
        return self._one("p.number = ?", number)

    def by_path(self, path: str) -> StoredPrediction | None:
        """Return the prediction for a file."""
        return self._one("p.path = ?", path)

    def by_numbers(self, numbers: Sequence[int]) -> dict[int, Prediction]:
        """Return the predictions with these numbers; numbers without one are absent."""
        query = f"SELECT {self._selected} FROM predictions AS p WHERE p.number IN (SELECT value FROM json_each(?))"
        rows = (_stored(cells) for cells in self._read(query, None, json.dumps(list(numbers))))
        return {row.number: row.prediction for row in rows}

    def all(self) -> tuple[Prediction, ...]:
        """Return every prediction, in the order of the evaluation."""
        query = f"SELECT {self._selected} FROM predictions AS p ORDER BY p.number"
        return tuple(_stored(cells).prediction for cells in self._read(query))

    def flip_counts(self) -> list[FlipCount]:
        """Return flips since `before` by kind of file, without files that changed or that one did not measure."""
        query = f"""
            SELECT p.file_class, p.method, p.image_format, p.category, count(*), total(b.wrong), total(p.wrong),
              total(b.wrong = 1 AND p.wrong = 0), total(b.wrong = 0 AND p.wrong = 1)
            FROM predictions AS p {JOIN_BEFORE}
            WHERE p.wrong IS NOT NULL AND b.wrong IS NOT NULL GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4
        """
        rows = self._read(query, Selection(direction="broken"))
        return [FlipCount(*cells[:4], *(int(cell) for cell in cells[4:])) for cells in rows]

    def previous(self, stored: Sequence[StoredPrediction]) -> dict[int, StoredPrediction]:
        """Return the predictions of `before` for the same paths, by their number in this store."""
        if self._before is None or not stored:
            return {}
        parameters = ", ".join("?" * len(stored))
        numbers = {one.prediction.path: one.number for one in stored}
        before = PredictionStore(self._before)
        query = f"SELECT {before._selected} FROM predictions AS p WHERE p.path IN ({parameters})"
        earlier = [_stored(cells) for cells in before._read(query, None, *numbers)]
        return {numbers[one.prediction.path]: one for one in earlier}

    @cached_property
    def _selected(self) -> str:
        """The selected columns: NULL for a column that the version which wrote the store did not have."""
        columns = (f"p.{column.field}" if column.field in self._present else "NULL" for column in COLUMNS)
        return ", ".join(("p.number", *columns))

    @cached_property
    def _present(self) -> frozenset[str]:
        """The columns of the stored table."""
        rows = self._read("SELECT name FROM pragma_table_info('predictions')")
        return frozenset(name for (name,) in rows)

    def _one(self, condition: str, value: str | int) -> StoredPrediction | None:
        rows = self._read(f"SELECT {self._selected} FROM predictions AS p WHERE {condition}", None, value)
        return _stored(rows[0]) if rows else None

    def _read(self, query: str, selection: Selection | None = None, *values: object) -> list[tuple[Any, ...]]:
        filters = () if selection is None else tuple(selection.filters.values())
        absent = self._absent() if selection is not None and selection.slices else ()
        with self._open(selection is not None and selection.compares) as database:
            if absent:
                # A filter on a column that the version which wrote the store did not have selects no image.
                nulls = ", ".join(f"NULL AS {name}" for name in absent)
                database.execute(f"CREATE TEMP VIEW predictions AS SELECT *, {nulls} FROM main.predictions")
            return database.execute(query, (*filters, *values)).fetchall()

    def _absent(self) -> tuple[str, ...]:
        return tuple(column.field for column in COLUMNS if column.field not in self._present)

    @contextmanager
    def _open(self, compare: bool) -> Iterator[sqlite3.Connection]:
        if compare and self._before is None:
            raise ValueError("broken and fixed require the predictions of another evaluation")
        try:
            for path in filter(None, (self._path, self._before)):
                # SQLite would wait for the writer of a named pipe.
                open_regular(path).close()
            with closing(sqlite3.connect(_uri(self._path), uri=True)) as database:
                if compare and self._before is not None:
                    database.execute("ATTACH ? AS before", (_uri(self._before),))
                yield database
        except sqlite3.Error as error:
            raise StorageError(f"{self._path}: cannot be read: {error}") from error
        except OSError as error:
            raise StorageError(f"{self._path}: cannot be read: {error.strerror or error}") from error


def _values(number: int, prediction: Prediction) -> tuple[object, ...]:
    stored = (_sql_value(column, prediction) for column in COLUMNS)
    return (number, *stored, is_wrong(prediction), _confidence(prediction))


def _sql_value(column: PredictionColumn, prediction: Prediction) -> object:
    value = column.value(prediction)
    return bytes.fromhex(value) if column.type is bytes else value


def _confidence(prediction: Prediction) -> float | None:
    """Return the probability of the verdict: column `sureness`, as version 0.1.0 named it."""
    if prediction.probability is None or prediction.verdict is None:
        return None
    return prediction.probability if prediction.verdict else 1 - prediction.probability


def _stored(cells: Sequence[Any]) -> StoredPrediction:
    number, *rest = cells
    values = {column.name: value for column, value in zip(COLUMNS, rest, strict=True)}
    values["sha256"] = values["sha256"].hex()
    for name in _BOOLEANS:
        values[name] = None if values[name] is None else bool(values[name])
    return StoredPrediction(number, prediction_from(values))


def _uri(path: Path) -> str:
    # Immutable: a stored file never changes, so no locks are needed, and a read-only disk works.
    return f"file:{quote(str(path.absolute()))}?mode=ro&immutable=1"
