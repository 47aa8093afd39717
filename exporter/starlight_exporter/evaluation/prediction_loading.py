"""Read a column of a file of predictions as an array; files of earlier versions have rows only."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from starlight_exporter.errors import StorageError
from starlight_exporter.evaluation.prediction_arrays import ARRAY_COLUMNS, ArrayBuilder, ArrayColumn, with_choices
from starlight_exporter.evaluation.prediction_codes import CODES, COVER, confidence_order, dense_codes


def stored_column(
    database: sqlite3.Connection, path: Path, field: str, images: int
) -> tuple[NDArray[Any], tuple[str, ...]]:
    """Return a column of a file of `images` predictions, and its texts by code. Raise StorageError if it is damaged."""
    if not has_columns(database):
        return _from_rows(database, field, images)
    row = database.execute("SELECT names, data FROM columns WHERE name = ?", (field,)).fetchone()
    column = ARRAY_COLUMNS.get(field)
    dtype = np.dtype("<i4") if column is None else column.dtype
    if row is None or len(row[1]) != images * dtype.itemsize:
        raise StorageError(f"{path}: damaged: column {field}")
    names, values = tuple(json.loads(row[0])), np.frombuffer(row[1], dtype)
    if column is None:
        return values, ()
    return with_choices(values, names, column).view(), column.choices or names


def _from_rows(database: sqlite3.Connection, field: str, images: int) -> tuple[NDArray[Any], tuple[str, ...]]:
    """Return a column of a file of an earlier version, which stored rows only."""
    if field == "order":
        probability, verdict = (_builder(database, ARRAY_COLUMNS[name], images) for name in ("probability", "verdict"))
        return confidence_order(probability, verdict), ()
    if field in CODES:
        query = CODES[field]
        if field == "cover" and not _has(database, "cover"):
            query = query.replace(COVER, "path")
        return dense_codes(database, query, images), ()
    builder = _builder(database, ARRAY_COLUMNS[field], images)
    return builder.values(), builder.names


def _builder(database: sqlite3.Connection, column: ArrayColumn, images: int) -> ArrayBuilder:
    builder = ArrayBuilder(column)
    if _has(database, column.field):
        rows = database.execute(f"SELECT {column.field} FROM predictions ORDER BY number")
        builder.extend(value for (value,) in rows)
    else:
        builder.extend([None] * images)
    return builder


def has_columns(database: sqlite3.Connection) -> bool:
    """Return whether a file has columns in addition to its rows."""
    return database.execute("SELECT 1 FROM sqlite_master WHERE name = 'columns'").fetchone() is not None


def _has(database: sqlite3.Connection, field: str) -> bool:
    rows = database.execute("SELECT 1 FROM pragma_table_info('predictions') WHERE name = ?", (field,))
    return rows.fetchone() is not None
