"""Predictions as a CSV table, one row per file: the evidence behind every count, readable by a spreadsheet.

`label` is clean, stego or negative; `verdict` is stego, clean or empty; numbers are written in full, so
that reading them gives the same numbers. Empty cells are what was not measured or does not apply.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar, get_args

from starlight_exporter.dataset.dataset import FILE_CLASSES
from starlight_exporter.detector.contract import METHODS, ImageFormat
from starlight_exporter.errors import NOT_MEASURED_REASONS, StorageError
from starlight_exporter.evaluation.results import FileFacts, Prediction

COLUMNS: tuple[str, ...] = (
    "path",
    "label",
    "method",
    "category",
    "format",
    "probability",
    "predicted_method",
    "verdict",
    "not_measured",
    "detail",
    "seconds",
    "sha256",
    "size_bytes",
    "width",
    "height",
    "mode",
    "exif_bytes",
    "tail_bytes",
    "bit_order",
    "payload_bytes",
)
_Name = TypeVar("_Name", bound=str)

_FORMATS: tuple[ImageFormat, ...] = get_args(ImageFormat)
_VERDICTS: Mapping[str, bool] = {"stego": True, "clean": False}


def predictions_csv(predictions: Iterable[Prediction]) -> str:
    """The table as text: a header line, then one row per prediction, lines ended by a newline alone."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    # With this line end the csv module leaves a carriage return in a file's name unquoted, and cannot read it back.
    quoted = csv.writer(text, lineterminator="\n", quoting=csv.QUOTE_ALL)
    table.writerow(COLUMNS)
    for entry in predictions:
        row = _cells(entry)
        (quoted if any("\r" in cell for cell in row) else table).writerow(row)
    return text.getvalue()


def _cells(entry: Prediction) -> tuple[str, ...]:
    return (
        entry.path,
        entry.file_class,
        entry.method or "",
        entry.category or "",
        entry.image_format or "",
        "" if entry.probability is None else repr(float(entry.probability)),
        entry.predicted_method or "",
        "" if entry.verdict is None else "stego" if entry.verdict else "clean",
        entry.not_measured or "",
        entry.detail,
        "" if entry.seconds is None else repr(float(entry.seconds)),
        entry.sha256,
        *("" if value is None else str(value) for value in _facts(entry.facts)),
    )


def _facts(facts: FileFacts) -> tuple[int | str | None, ...]:
    return (
        facts.size_bytes,
        facts.width,
        facts.height,
        facts.mode,
        facts.exif_bytes,
        facts.tail_bytes,
        facts.bit_order,
        facts.payload_bytes,
    )


def write_predictions(path: Path, predictions: Iterable[Prediction]) -> None:
    """Write the table. OSError passes: the caller knows what the file is for and what to clean up."""
    path.write_text(predictions_csv(predictions), encoding="utf-8", newline="")


def read_predictions(path: Path) -> tuple[Prediction, ...]:
    """What `write_predictions` wrote; StorageError names the file, and the row that is damaged."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            table = csv.reader(file, strict=True)
            header = next(table, [])
            if tuple(header) != COLUMNS:
                raise StorageError(f"{path}: not a table of predictions; expected the columns {','.join(COLUMNS)}")
            return tuple(_prediction(row, f"{path}:{table.line_num}") for row in table)
    except OSError as error:
        raise StorageError(f"{path}: cannot be read: {error.strerror or error}") from error
    except (csv.Error, UnicodeDecodeError) as error:
        raise StorageError(f"{path}: damaged: {error}") from error


def _prediction(row: Sequence[str], where: str) -> Prediction:
    if len(row) != len(COLUMNS):
        raise StorageError(f"{where}: {len(row)} columns, expected {len(COLUMNS)}")
    cells = dict(zip(COLUMNS, row, strict=True))
    verdict = _one_of(cells["verdict"], tuple(_VERDICTS), "verdict", where)
    file_class = _one_of(cells["label"], FILE_CLASSES, "label", where)
    if file_class is None:
        raise StorageError(f"{where}: label is empty")
    return Prediction(
        path=cells["path"],
        sha256=cells["sha256"],
        file_class=file_class,
        method=_one_of(cells["method"], METHODS, "method", where),
        category=cells["category"] or None,
        image_format=_one_of(cells["format"], _FORMATS, "format", where),
        probability=_number(cells["probability"], "probability", where),
        predicted_method=_one_of(cells["predicted_method"], METHODS, "predicted_method", where),
        verdict=None if verdict is None else _VERDICTS[verdict],
        not_measured=_one_of(cells["not_measured"], NOT_MEASURED_REASONS, "not_measured", where),
        detail=cells["detail"],
        seconds=_number(cells["seconds"], "seconds", where),
        facts=FileFacts(
            size_bytes=_whole(cells["size_bytes"], "size_bytes", where),
            width=_whole(cells["width"], "width", where),
            height=_whole(cells["height"], "height", where),
            mode=cells["mode"] or None,
            exif_bytes=_whole(cells["exif_bytes"], "exif_bytes", where),
            tail_bytes=_whole(cells["tail_bytes"], "tail_bytes", where),
            bit_order=cells["bit_order"] or None,
            payload_bytes=_whole(cells["payload_bytes"], "payload_bytes", where),
        ),
    )


def _one_of(cell: str, known: tuple[_Name, ...], column: str, where: str) -> _Name | None:
    if not cell:
        return None
    for name in known:
        if cell == name:
            return name
    raise StorageError(f"{where}: {column}: {cell[:40]!r} is none of {', '.join(known)}")


def _number(cell: str, column: str, where: str) -> float | None:
    if not cell:
        return None
    try:
        value = float(cell)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise StorageError(f"{where}: {column}: {cell[:40]!r} is not a number")
    return value


def _whole(cell: str, column: str, where: str) -> int | None:
    if not cell:
        return None
    if not (cell.isascii() and cell.isdecimal()):
        raise StorageError(f"{where}: {column}: {cell[:40]!r} is not a whole number")
    return int(cell)
