"""The predictions of one evaluation as an SQLite file: written once, then read a page at a time.

SQLite, not CSV: of 50,000 predictions a filtered page with all its counts costs 0.05 s of processor time; a CSV table
has to be read whole, which costs 1.0 s (Python 3.11). `benchmarks/evidence_pages.py` measures the pages over HTTP.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal
from urllib.parse import quote

from starlight_exporter.analysis.comparison import is_wrong
from starlight_exporter.errors import StorageError
from starlight_exporter.evaluation.results import FileFacts, Prediction

Direction = Literal["false_positive", "false_negative", "broken", "fixed"]
DIRECTIONS: Final[tuple[Direction, ...]] = ("false_positive", "false_negative", "broken", "fixed")
"""Of a wrong verdict: on a clean or negative image, or on a stego one. Of a flip: wrong now, or right now."""

Shown = Literal["wrong", "all", "not_measured"]
SHOWN: Final[tuple[Shown, ...]] = ("wrong", "all", "not_measured")

FILTERS: Final[Mapping[str, str]] = {
    "class": "file_class",
    "method": "method",
    "format": "image_format",
    "category": "category",
}
"""What a selection may be narrowed by, and the column that holds it."""

_FACTS: Final = ("size_bytes", "width", "height", "mode", "exif_bytes", "tail_bytes", "bit_order", "payload_bytes")
_FIELDS: Final = (
    "path",
    "sha256",
    "file_class",
    "method",
    "category",
    "image_format",
    "probability",
    "predicted_method",
    "verdict",
    "not_measured",
    "detail",
    "seconds",
    *_FACTS,
)
_SCHEMA: Final = """
CREATE TABLE predictions (
  number INTEGER PRIMARY KEY, path TEXT NOT NULL, sha256 BLOB NOT NULL, file_class TEXT NOT NULL, method TEXT,
  category TEXT, image_format TEXT, probability REAL, predicted_method TEXT, verdict INTEGER, not_measured TEXT,
  detail TEXT NOT NULL, seconds REAL, size_bytes INTEGER, width INTEGER, height INTEGER, mode TEXT, exif_bytes INTEGER,
  tail_bytes INTEGER, bit_order TEXT, payload_bytes INTEGER, wrong INTEGER, sureness REAL
) STRICT;
"""
# Made when all rows are in. `kinds` answers every count from some hundred rows; `by_sureness` holds all that a page's
# order and filters look at, so that only the rows that are shown are read.
_DERIVED: Final = """
CREATE TABLE kinds AS
  SELECT file_class, method, category, image_format, wrong, not_measured, count(*) AS images
  FROM predictions GROUP BY 1, 2, 3, 4, 5, 6;
CREATE UNIQUE INDEX by_path ON predictions (path);
CREATE INDEX by_wrong ON predictions (wrong) WHERE wrong = 1;
CREATE INDEX by_sureness ON predictions
  (sureness DESC, number, wrong, file_class, method, category, image_format, not_measured);
"""
_ROW: Final = ", ".join(f"p.{name}" for name in ("number", *_FIELDS))
_BEFORE: Final = "JOIN before.predictions AS b ON b.path = p.path AND b.sha256 = p.sha256"


@dataclass(frozen=True, slots=True)
class Row:
    """A stored prediction; `number` (from 0, in the order of the evaluation) names it in addresses."""

    number: int
    prediction: Prediction


@dataclass(frozen=True, slots=True)
class Selection:
    """Which predictions are asked for; `filters` maps names of FILTERS to the one value that is wanted.

    `shown` is overruled by a `direction`, of which `broken` and `fixed` need predictions to compare with.
    """

    shown: Shown = "wrong"
    filters: Mapping[str, str] = field(default_factory=dict)
    direction: Direction | None = None

    @property
    def compares(self) -> bool:
        """Whether another evaluation's predictions are needed."""
        return self.direction in ("broken", "fixed")


@dataclass(frozen=True, slots=True)
class FlipCount:
    """Of one kind of file that two evaluations measured: how many, and whose verdict changed sides."""

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
    """Write a new store. sqlite3.Error, OSError and ValueError pass: the caller knows what to clean up."""
    with closing(sqlite3.connect(path)) as database:
        # The file counts only once it is whole and under its final name, so nothing of it needs to survive a crash.
        database.execute("PRAGMA journal_mode = OFF")
        database.execute("PRAGMA synchronous = OFF")
        database.executescript(_SCHEMA)
        marks = ", ".join("?" * (len(_FIELDS) + 3))
        with database:
            database.executemany(
                f"INSERT INTO predictions VALUES ({marks})",
                (_values(number, prediction) for number, prediction in enumerate(predictions)),
            )
        database.executescript(_DERIVED)


class PredictionStore:
    """Reads a store; StorageError names the file where it cannot be read. Each call opens it anew, in any thread."""

    def __init__(self, path: Path, *, before: Path | None = None) -> None:
        """`before` is the store of the evaluation that `broken` and `fixed` compare with."""
        self._path = path
        self._before = before

    def count(self, selection: Selection) -> int:
        """How many predictions a selection holds."""
        return int(self._read(f"SELECT {_counted(selection)} FROM {_source(selection)}", selection)[0][0])

    def measured(self, selection: Selection) -> int:
        """How many files with a verdict there are under the filters of a selection, right or wrong."""
        every = Selection("all", filters=selection.filters)
        return int(self._read(f"SELECT total(p.images) FROM {_source(every)} AND p.wrong IS NOT NULL", every)[0][0])

    def page(self, selection: Selection, *, limit: int, offset: int = 0) -> list[Row]:
        """A part of a selection, the surest verdicts first: a search for reasons starts with the worst mistakes."""
        order = "ORDER BY p.sureness DESC, p.number"
        chosen = f"SELECT p.number FROM {_source(selection, rows=True)} {order} LIMIT ? OFFSET ?"
        query = f"SELECT {_ROW} FROM predictions AS p WHERE p.number IN ({chosen}) {order}"
        return [_row(cells) for cells in self._read(query, selection, limit, offset)]

    def facets(self, selection: Selection) -> dict[str, list[tuple[str, int]]]:
        """For each filter the values that occur under the other filters, and how often."""
        every = Selection(selection.shown, direction=selection.direction)
        columns = ", ".join(f"p.{column}" for column in FILTERS.values())
        # Once for all filters: where it joins two evaluations, that is what a page waits for.
        kinds = self._read(f"SELECT {_counted(every)}, {columns} FROM {_source(every)} GROUP BY {columns}", every)
        found = {}
        for name in FILTERS:
            counts: Counter[str] = Counter()
            for count, *cells in kinds:
                kind = dict(zip(FILTERS, cells, strict=True))
                others = all(kind[other] == value for other, value in selection.filters.items() if other != name)
                if others and kind[name] is not None:
                    counts[kind[name]] += int(count)
            found[name] = sorted(counts.items())
        return found

    def row(self, number: int) -> Row | None:
        """The prediction of that number."""
        cells = self._read(f"SELECT {_ROW} FROM predictions AS p WHERE p.number = ?", None, number)
        return _row(cells[0]) if cells else None

    def of_path(self, path: str) -> Row | None:
        """The prediction for a file."""
        cells = self._read(f"SELECT {_ROW} FROM predictions AS p WHERE p.path = ?", None, path)
        return _row(cells[0]) if cells else None

    def all(self) -> tuple[Prediction, ...]:
        """Every prediction, in the order of the evaluation."""
        return tuple(
            _row(cells).prediction for cells in self._read(f"SELECT {_ROW} FROM predictions AS p ORDER BY p.number")
        )

    def flip_counts(self) -> list[FlipCount]:
        """What changed since `before`, by kind of file; files of another content or without a verdict are left out."""
        query = f"""
            SELECT p.file_class, p.method, p.image_format, p.category, count(*), total(b.wrong), total(p.wrong),
              total(b.wrong = 1 AND p.wrong = 0), total(b.wrong = 0 AND p.wrong = 1)
            FROM predictions AS p {_BEFORE}
            WHERE p.wrong IS NOT NULL AND b.wrong IS NOT NULL GROUP BY 1, 2, 3, 4 ORDER BY 1, 2, 3, 4
        """
        rows = self._read(query, Selection(direction="broken"))
        return [FlipCount(*cells[:4], *(int(cell) for cell in cells[4:])) for cells in rows]

    def said_before(self, rows: Sequence[Row]) -> dict[int, Row]:
        """What the evaluation before said of the same files, by the number that they have here."""
        if self._before is None or not rows:
            return {}
        marks = ", ".join("?" * len(rows))
        here = {row.prediction.path: row.number for row in rows}
        query = f"SELECT {_ROW} FROM predictions AS p WHERE p.path IN ({marks})"
        found = [_row(cells) for cells in PredictionStore(self._before)._read(query, None, *here)]
        return {here[row.prediction.path]: row for row in found}

    def _read(self, query: str, selection: Selection | None = None, *values: object) -> list[tuple[Any, ...]]:
        filters = () if selection is None else tuple(selection.filters.values())
        with self._open(selection is not None and selection.compares) as database:
            return database.execute(query, (*filters, *values)).fetchall()

    @contextmanager
    def _open(self, compare: bool) -> Iterator[sqlite3.Connection]:
        if compare and self._before is None:
            raise ValueError("a selection by direction of change needs predictions to compare with")
        try:
            with closing(sqlite3.connect(_uri(self._path), uri=True)) as database:
                if compare and self._before is not None:
                    database.execute("ATTACH ? AS before", (_uri(self._before),))
                yield database
        except sqlite3.Error as error:
            raise StorageError(f"{self._path}: cannot be read: {error}") from error


def _source(selection: Selection, *, rows: bool = False) -> str:
    """FROM and WHERE of a selection; values come as parameters, names from this module's tables.

    `rows` reads the predictions themselves, where counts would do with kinds.
    """
    conditions = ["true", *(f"p.{FILTERS[name]} = ?" for name in selection.filters)]
    match selection.direction:
        case "broken":
            conditions += ["b.wrong = 0 AND p.wrong = 1"]
        case "fixed":
            conditions += ["b.wrong = 1 AND p.wrong = 0"]
        case "false_positive":
            conditions += ["p.wrong = 1 AND p.file_class != 'stego'"]
        case "false_negative":
            conditions += ["p.wrong = 1 AND p.file_class = 'stego'"]
        case None if selection.shown == "wrong":
            conditions += ["p.wrong = 1"]
        case None if selection.shown == "not_measured":
            conditions += ["p.not_measured IS NOT NULL"]
    table = "predictions" if rows or selection.compares else "kinds"
    return f"{table} AS p {_BEFORE if selection.compares else ''} WHERE {' AND '.join(conditions)}"


def _counted(selection: Selection) -> str:
    return "count(*)" if selection.compares else "total(p.images)"


def _values(number: int, prediction: Prediction) -> tuple[object, ...]:
    facts = prediction.facts
    return (
        number,
        prediction.path,
        bytes.fromhex(prediction.sha256),
        prediction.file_class,
        prediction.method,
        prediction.category,
        prediction.image_format,
        prediction.probability,
        prediction.predicted_method,
        prediction.verdict,
        prediction.not_measured,
        prediction.detail,
        prediction.seconds,
        *(getattr(facts, name) for name in _FACTS),
        is_wrong(prediction),
        _sureness(prediction),
    )


def _sureness(prediction: Prediction) -> float | None:
    """Probability of what the verdict says."""
    if prediction.probability is None or prediction.verdict is None:
        return None
    return prediction.probability if prediction.verdict else 1 - prediction.probability


def _row(cells: Sequence[Any]) -> Row:
    number, *rest = cells
    named = dict(zip(_FIELDS, rest, strict=True))
    facts = FileFacts(**{name: named.pop(name) for name in _FACTS})
    named["sha256"] = named["sha256"].hex()
    named["verdict"] = None if named["verdict"] is None else bool(named["verdict"])
    return Row(number, Prediction(**named, facts=facts))


def _uri(path: Path) -> str:
    # A stored file never changes: no locks, no journal, and a read-only disk will do.
    return f"file:{quote(str(path.absolute()))}?mode=ro&immutable=1"
