"""The predictions of an evaluation on disk: a sequence whose rows are made on demand, and columns as arrays.

A prediction takes about 1 KB of memory as an object and 57 bytes in the columns, which are loaded one by one.
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import weakref
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from functools import cached_property
from itertools import chain, islice
from pathlib import Path
from typing import Any, Final, overload

import numpy as np
from numpy.typing import NDArray

from starlight_exporter.errors import StorageError
from starlight_exporter.evaluation.prediction_arrays import MISSING
from starlight_exporter.evaluation.prediction_file import FILES_DIGEST, opened, prediction_of, selected_columns
from starlight_exporter.evaluation.prediction_loading import has_columns, stored_column
from starlight_exporter.evaluation.prediction_writer import PredictionWriter
from starlight_exporter.evaluation.results import Prediction

PREDICTIONS_FILE: Final = "predictions.sqlite"
_BLOCK: Final = 512
_BY_PATH: Final = "SELECT number FROM predictions ORDER BY path"
_PAIRS: Final = """
    SELECT p.number, b.number FROM main.predictions AS p
    CROSS JOIN before.predictions AS b ON b.path = p.path AND b.sha256 = p.sha256
"""


class PredictionTable(Sequence[Prediction]):
    """The predictions of one evaluation, in the order of its files. Every access may raise StorageError.

    A pickled copy refers to the same file, unless that is deleted with this object: then the copy has its own. Rows are
    numbered from 0, as in addresses of pages.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._is_temporary = False
        self._columns: dict[str, tuple[NDArray[Any], tuple[str, ...]]] = {}

    @classmethod
    def of(cls, predictions: Iterable[Prediction]) -> PredictionTable:
        """Return a table as it is; write other predictions to a temporary file, which is deleted with the object."""
        if isinstance(predictions, PredictionTable):
            return predictions
        return cls.write(_temporary_file(), predictions).delete_with_object()

    @classmethod
    def write(cls, path: Path, predictions: Iterable[Prediction]) -> PredictionTable:
        """Write predictions to a new file, which is deleted if that fails."""
        writer = PredictionWriter(path)
        try:
            remaining = iter(predictions)
            while block := list(islice(remaining, _BLOCK)):
                writer.append(block)
            return cls(writer.finish())
        except BaseException:
            writer.discard()
            raise

    @property
    def path(self) -> Path:
        """The file."""
        return self._path

    def delete_with_object(self) -> PredictionTable:
        """Delete the file when this object is no longer used; return this object."""
        weakref.finalize(self, _delete, self._path)
        self._is_temporary = True
        return self

    def save(self, path: Path) -> None:
        """Save the file under another path: a second name of the same file where possible. Raise OSError."""
        try:
            os.link(self._path, path)
        except OSError:
            shutil.copyfile(self._path, path)

    def release(self) -> None:
        """Free the columns that were read; they are read again when they are needed."""
        self._columns.clear()

    def column(self, field: str) -> NDArray[Any]:
        """Return a column of ARRAY_COLUMNS, or `cover`, `content` (codes) or `order`, of shape (images,).

        `order` are the numbers of the images, most confident verdicts first.
        """
        return self._loaded(field)[0]

    def names(self, field: str) -> tuple[str, ...]:
        """Return the texts of a column by code."""
        return self._loaded(field)[1]

    def equals(self, field: str, value: str | None) -> NDArray[np.bool_]:
        """Return which images have this text in a column, of shape (images,)."""
        names = self.names(field)
        # No image has the code of a text that does not occur.
        code = MISSING if value is None else names.index(value) if value in names else len(names)
        found: NDArray[np.bool_] = self.column(field) == code
        return found

    @cached_property
    def measured(self) -> NDArray[np.bool_]:
        """Which images have a verdict, of shape (images,)."""
        found: NDArray[np.bool_] = self.column("verdict") != MISSING
        return found

    @cached_property
    def positive(self) -> NDArray[np.bool_]:
        """Which images have a positive verdict, of shape (images,)."""
        found: NDArray[np.bool_] = self.column("verdict") == 1
        return found

    @cached_property
    def wrong(self) -> NDArray[np.int8]:
        """Whether the verdict contradicts the label (0 or 1), MISSING without verdict or label, of shape (images,)."""
        known = self.measured & ~self.equals("file_class", "unlabelled")
        return np.where(known, self.positive != self.equals("file_class", "stego"), MISSING).astype(np.int8)

    def rows(self, numbers: Iterable[int]) -> Iterator[Prediction]:
        """Yield the predictions with these numbers, in this order; raise IndexError for a number without one."""
        remaining = iter(numbers)
        while block := [int(number) for number in islice(remaining, _BLOCK)]:
            found = self.by_number(block)
            for number in block:
                if number not in found:
                    raise IndexError(number)
                yield found[number]

    def by_number(self, numbers: Sequence[int]) -> dict[int, Prediction]:
        """Return the predictions with these numbers; numbers without one are absent."""
        return dict(self._found("p.number", numbers))

    def by_path(self, paths: Sequence[str]) -> dict[int, Prediction]:
        """Return the predictions for these files by number; files without one are absent."""
        return dict(self._found("p.path", paths))

    def numbers(self, paths: Sequence[str]) -> dict[str, int]:
        """Return the number of each of these files; files without one are absent."""
        with opened(self._path) as database:
            query = "SELECT path, number FROM predictions WHERE path IN (SELECT value FROM json_each(?))"
            return dict(database.execute(query, (json.dumps(list(paths)),)))

    def with_content(self, sha256: Iterable[str]) -> NDArray[np.bool_]:
        """Return which images have one of these contents, of shape (images,)."""
        chosen = {bytes.fromhex(one) for one in sha256}
        with opened(self._path) as database:
            found = (one in chosen for (one,) in database.execute("SELECT sha256 FROM predictions ORDER BY number"))
            return np.fromiter(found, np.bool_, len(self))

    def content_prefixes(self) -> NDArray[np.uint64]:
        """Return the first 64 bits of the SHA-256 of every file that could be read."""
        with opened(self._path) as database:
            rows = database.execute("SELECT substr(sha256, 1, 8) FROM predictions WHERE sha256 != x''")
            return np.fromiter(chain.from_iterable(rows), "S8").view(">u8").astype(np.uint64)

    def aligned(self, other: PredictionTable) -> NDArray[np.int64]:
        """Return the number of each file in another table, MISSING if path or content differ, of shape (images,)."""
        files = self._files_digest
        if files is not None and files == other._files_digest:
            return np.arange(len(self))
        numbers = np.full(len(self), MISSING, np.int64)
        with opened(self._path, before=other.path) as database:
            pairs = np.fromiter(database.execute(_PAIRS), np.dtype((np.int64, 2)))
        numbers[pairs[:, 0]] = pairs[:, 1]
        return numbers

    def same_files(self, other: PredictionTable) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the numbers of the files with the same path and content, here and in the other, sorted by path.

        Two arrays of shape (pairs,).
        """
        with opened(self._path) as database:
            ordered = np.fromiter(chain.from_iterable(database.execute(_BY_PATH)), np.int64, len(self))
        others = self.aligned(other)[ordered]
        return ordered[others != MISSING], others[others != MISSING]

    def __len__(self) -> int:
        return self._length

    @overload
    def __getitem__(self, index: int) -> Prediction: ...

    @overload
    def __getitem__(self, index: slice) -> tuple[Prediction, ...]: ...

    def __getitem__(self, index: int | slice) -> Prediction | tuple[Prediction, ...]:
        """Return one prediction, or those of a slice."""
        numbers = range(len(self))[index]
        return next(self.rows([numbers])) if isinstance(numbers, int) else tuple(self.rows(numbers))

    def __iter__(self) -> Iterator[Prediction]:
        with opened(self._path) as database:
            rows = database.execute(f"SELECT {selected_columns(database)} FROM predictions AS p ORDER BY p.number")
            yield from map(prediction_of, rows)

    def __eq__(self, other: object) -> bool:
        """Return whether all predictions are equal."""
        if not isinstance(other, Sequence):
            return NotImplemented
        return len(self) == len(other) and all(one == two for one, two in zip(self, other, strict=True))

    __hash__ = None  # type: ignore[assignment]  # as a list

    def __reduce__(self) -> tuple[Any, ...]:
        if self._is_temporary:
            return _restored, (self._path.read_bytes(),)
        return PredictionTable, (self._path,)

    def __repr__(self) -> str:
        return f"PredictionTable({str(self._path)!r})"

    @cached_property
    def _length(self) -> int:
        with opened(self._path) as database:
            (rows,) = database.execute("SELECT coalesce(max(number) + 1, 0) FROM predictions").fetchone()
            return int(rows)

    @cached_property
    def _files_digest(self) -> str | None:
        """The SHA-256 over contents and paths of all files; None in a file of an earlier version."""
        with opened(self._path) as database:
            if not has_columns(database):
                return None
            row = database.execute("SELECT value FROM facts WHERE name = ?", (FILES_DIGEST,)).fetchone()
            return None if row is None else str(row[0])

    def _found(self, column: str, values: Sequence[object]) -> Iterator[tuple[int, Prediction]]:
        with opened(self._path) as database:
            query = (
                f"SELECT p.number, {selected_columns(database)} FROM predictions AS p"
                f" WHERE {column} IN (SELECT value FROM json_each(?))"
            )
            for number, *cells in database.execute(query, (json.dumps(list(values)),)):
                yield number, prediction_of(cells)

    def _loaded(self, field: str) -> tuple[NDArray[Any], tuple[str, ...]]:
        if field not in self._columns:
            with opened(self._path) as database:
                values, names = stored_column(database, self._path, field, len(self))
            values.flags.writeable = False
            self._columns[field] = values, names
        return self._columns[field]


def _temporary_file() -> Path:
    """Create an empty temporary file and return its path. Raise StorageError."""
    try:
        descriptor, name = tempfile.mkstemp(prefix="starlight-predictions-", suffix=".sqlite")
    except OSError as error:
        raise StorageError(f"no temporary file for predictions: {error.strerror or error}") from error
    os.close(descriptor)
    return Path(name)


def _restored(content: bytes) -> PredictionTable:
    path = _temporary_file()
    path.write_bytes(content)
    return PredictionTable(path).delete_with_object()


def _delete(path: Path) -> None:
    with suppress(OSError):
        path.unlink(missing_ok=True)
