"""Predictions as a CSV file, one row per image.

Numbers are written with all digits, so that they read back equal. An empty cell means not measured or not applicable.
Texts that look like formulas are escaped (see `csv_text`).
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from starlight_exporter.errors import StorageError
from starlight_exporter.evaluation.prediction_columns import (
    COLUMNS,
    NAMES,
    OPTIONAL,
    PredictionColumn,
    prediction_from,
)
from starlight_exporter.evaluation.results import Prediction
from starlight_exporter.file_access import open_regular
from starlight_exporter.publish.csv_text import csv_parts, unescaped


def predictions_csv(predictions: Iterable[Prediction]) -> Iterator[str]:
    """Yield the text of the file in parts: a header and one row per prediction, with LF line ends."""
    return csv_parts(NAMES, ([column.cell(prediction) for column in COLUMNS] for prediction in predictions))


def read_predictions(path: Path) -> tuple[Prediction, ...]:
    """Read a file with the text of `predictions_csv`. Raise StorageError with the file and the damaged row."""
    try:
        with io.TextIOWrapper(open_regular(path), encoding="utf-8", newline="") as file:
            reader = csv.reader(file, strict=True)
            names = tuple(next(reader, []))
            if names != NAMES[: len(names)] or not set(NAMES[len(names) :]) <= OPTIONAL:
                raise StorageError(f"{path}: not a table of predictions; expected the columns {','.join(NAMES)}")
            return tuple(_prediction(row, len(names), f"{path}:{reader.line_num}") for row in reader)
    except OSError as error:
        raise StorageError(f"{path}: cannot be read: {error.strerror or error}") from error
    except (csv.Error, UnicodeDecodeError) as error:
        raise StorageError(f"{path}: damaged: {error}") from error


def _prediction(row: Sequence[str], columns: int, where: str) -> Prediction:
    if len(row) != columns:
        raise StorageError(f"{where}: {len(row)} columns, expected {columns}")
    return prediction_from(
        {column.name: _parsed(column, cell, where) for column, cell in zip(COLUMNS[:columns], row, strict=True)}
    )


def _parsed(column: PredictionColumn, cell: str, where: str) -> str | int | float | bool | None:
    where = f"{where}: {column.name}"
    if not cell:
        if column.required and column.choices:
            raise StorageError(f"{where} is empty")
        return "" if column.required else None
    if column.type is bool:
        return _choice(cell, column.choices, where) == column.choices[True]
    if column.type is float:
        return _number(cell, where)
    if column.type is int:
        return _integer(cell, where)
    return _choice(cell, column.choices, where) if column.choices else unescaped(cell)


def _choice(cell: str, choices: tuple[str, ...], where: str) -> str:
    if cell not in choices:
        raise StorageError(f"{where}: expected one of {', '.join(choices)}; got {cell[:40]!r}")
    return cell


def _number(cell: str, where: str) -> float:
    try:
        value = float(cell)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise StorageError(f"{where}: expected a number; got {cell[:40]!r}")
    return value


def _integer(cell: str, where: str) -> int:
    if not (cell.isascii() and cell.isdecimal()):
        raise StorageError(f"{where}: expected a non-negative integer; got {cell[:40]!r}")
    return int(cell)
