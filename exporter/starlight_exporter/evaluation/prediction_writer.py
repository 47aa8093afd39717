"""Write predictions to a file, in order: rows, then columns that statistics read as a whole."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import closing, suppress
from operator import attrgetter
from pathlib import Path
from typing import Any, Final

from numpy.typing import NDArray

from starlight_exporter.errors import StorageError
from starlight_exporter.evaluation.prediction_arrays import ARRAY_COLUMNS, ArrayBuilder
from starlight_exporter.evaluation.prediction_codes import CODES, confidence_order, dense_codes
from starlight_exporter.evaluation.prediction_columns import COLUMNS
from starlight_exporter.evaluation.prediction_file import FILES_DIGEST, INDEX, INSERT, SCHEMA, row_of
from starlight_exporter.evaluation.results import Prediction

_GETTERS: Final = {
    column.field: attrgetter(f"facts.{column.field}" if column.of_file else column.field)
    for column in COLUMNS
    if column.field in ARRAY_COLUMNS
}


class PredictionWriter:
    """Writes a new file of predictions, in order. Not thread-safe. Every method raises StorageError.

    An unfinished file is deleted by `discard`, and replaced by the next writer of the same path.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._rows = 0
        self._digest = hashlib.sha256()
        self._builders = {field: ArrayBuilder(column) for field, column in ARRAY_COLUMNS.items()}
        try:
            path.unlink(missing_ok=True)
            self._database = sqlite3.connect(path)
            # No journal: an unfinished file is never read.
            self._database.execute("PRAGMA journal_mode = OFF")
            self._database.execute("PRAGMA synchronous = OFF")
            self._database.executescript(SCHEMA)
        except (sqlite3.Error, OSError) as error:
            raise self._failed(error) from error

    def append(self, predictions: Iterable[Prediction]) -> None:
        """Append the predictions of the next files."""
        block = list(predictions)
        try:
            self._database.executemany(INSERT, (row_of(self._rows + at, one) for at, one in enumerate(block)))
            for field, builder in self._builders.items():
                builder.extend(map(_GETTERS[field], block))
        except (sqlite3.Error, ValueError, OverflowError) as error:
            raise self._failed(error) from error
        for one in block:
            self._digest.update(f"{one.sha256}\0{one.path}\0".encode())
        self._rows += len(block)

    def finish(self) -> Path:
        """Write index and columns, close the file and return its path."""
        try:
            with closing(self._database) as database:
                database.execute(INDEX)
                self._write_column("order", confidence_order(self._builders["probability"], self._builders["verdict"]))
                while self._builders:
                    # Each is freed once it is written.
                    field, builder = self._builders.popitem()
                    self._write_column(field, builder.values(), builder.names)
                for name, query in CODES.items():
                    self._write_column(name, dense_codes(database, query, self._rows))
                database.execute("INSERT INTO facts VALUES (?, ?)", (FILES_DIGEST, self._digest.hexdigest()))
                database.commit()
        except sqlite3.Error as error:
            raise self._failed(error) from error
        return self._path

    def discard(self) -> None:
        """Close and delete the file."""
        self._database.close()
        with suppress(OSError):
            self._path.unlink(missing_ok=True)

    def _write_column(self, name: str, values: NDArray[Any], names: Sequence[str] = ()) -> None:
        self._database.execute("INSERT INTO columns VALUES (?, ?, ?)", (name, json.dumps(names), values.data))

    def _failed(self, error: Exception) -> StorageError:
        return StorageError(f"{self._path}: cannot be written: {getattr(error, 'strerror', None) or error}")
