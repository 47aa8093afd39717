"""Format of the file of predictions: SQLite, written once and in order, then only read.

Rows are read by number or path, columns (`prediction_arrays`) as a whole. A file of an earlier version has no columns;
they are read from its rows.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from itertools import chain
from operator import attrgetter
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from starlight_exporter.errors import StorageError
from starlight_exporter.evaluation.prediction_columns import COLUMNS, prediction_from
from starlight_exporter.evaluation.results import Prediction
from starlight_exporter.file_access import open_regular

_SQL_TYPES: Final = {str: "TEXT", int: "INTEGER", float: "REAL", bool: "INTEGER", bytes: "BLOB"}
_DEFINITIONS: Final = ", ".join(
    f"{column.field} {_SQL_TYPES[column.type]}{' NOT NULL' if column.required else ''}" for column in COLUMNS
)
SCHEMA: Final = f"""
CREATE TABLE predictions (number INTEGER PRIMARY KEY, {_DEFINITIONS}) STRICT;
CREATE TABLE columns (name TEXT PRIMARY KEY, names TEXT NOT NULL, data BLOB NOT NULL) STRICT;
CREATE TABLE facts (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
"""
FILES_DIGEST: Final = "files"
"""Name of the fact with the SHA-256 over contents and paths of all files."""
INDEX: Final = "CREATE INDEX by_path ON predictions (path)"
INSERT: Final = f"INSERT INTO predictions VALUES ({', '.join('?' * (len(COLUMNS) + 1))})"

_FIELDS: Final = attrgetter(*(f"facts.{column.field}" if column.of_file else column.field for column in COLUMNS))
_SHA256: Final = next(place for place, column in enumerate(COLUMNS) if column.type is bytes)
_NAMES: Final = tuple(column.name for column in COLUMNS)
_BOOLEANS: Final = tuple(place for place, column in enumerate(COLUMNS) if column.type is bool)
_CACHE_KIB: Final = 8 * 1024


def row_of(number: int, prediction: Prediction) -> tuple[Any, ...]:
    """Return the values of INSERT."""
    values = _FIELDS(prediction)
    return (number, *values[:_SHA256], bytes.fromhex(values[_SHA256]), *values[_SHA256 + 1 :])


def prediction_of(cells: Sequence[Any]) -> Prediction:
    """Return the prediction of the cells of a row, without its number."""
    values = list(cells)
    values[_SHA256] = values[_SHA256].hex()
    for place in _BOOLEANS:
        if values[place] is not None:
            values[place] = bool(values[place])
    return prediction_from(dict(zip(_NAMES, values, strict=True)))


@contextmanager
def opened(path: Path, *, before: Path | None = None) -> Iterator[sqlite3.Connection]:
    """Open a file of predictions, and another one as the database `before`. Raise StorageError, which names the file.

    Columns that the version which wrote a file did not have are NULL.
    """
    try:
        for file in filter(None, (path, before)):
            # SQLite would wait for the writer of a named pipe.
            open_regular(file).close()
        # A response that is sent in parts is read by one thread after another.
        with closing(sqlite3.connect(_uri(path), uri=True, check_same_thread=False)) as database:
            database.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
            if before is not None:
                database.execute("ATTACH ? AS before", (_uri(before),))
            yield database
    except sqlite3.Error as error:
        raise StorageError(f"{path}: cannot be read: {error}") from error
    except OSError as error:
        raise StorageError(f"{path}: cannot be read: {error.strerror or error}") from error


def selected_columns(database: sqlite3.Connection) -> str:
    """Return the expressions for all COLUMNS of `predictions AS p`."""
    present = frozenset(chain.from_iterable(database.execute("SELECT name FROM pragma_table_info('predictions')")))
    return ", ".join(f"p.{column.field}" if column.field in present else "NULL" for column in COLUMNS)


def _uri(path: Path) -> str:
    # Immutable: a stored file never changes, so no locks are needed, and a read-only disk works.
    return f"file:{quote(str(path.absolute()))}?mode=ro&immutable=1"
