"""The history of evaluations: `history.jsonl`, one line per complete evaluation, fsynced, rotated by size.

A crash can leave at most one torn line at the end; the next writer sets it aside and every earlier line stays. Rotated
files are called `history-<UTC time>.jsonl` and a bounded number of them is kept.
"""

from __future__ import annotations

import fcntl
import math
import os
import sys
import threading
import time
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import structlog

from starlight_exporter.errors import StorageError
from starlight_exporter.evaluation.results import Evaluation
from starlight_exporter.evaluation.serialisation import from_json, to_json
from starlight_exporter.files import sync
from starlight_exporter.publish.snapshot import Pair

_log = structlog.get_logger(__name__)

_STAMP: Final = "%Y%m%dT%H%M%S.%fZ"
_STAMP_LENGTH: Final = len("20260101T000000.000000Z")

_CHUNK: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class Latest:
    """The newest evaluation of every model and dataset, and how many lines on the way could not be read."""

    evaluations: dict[Pair, Evaluation]
    damaged_lines: int


class History:
    """Reads and appends to one history. Reading needs no write access and never changes a file.

    A file that would grow beyond `max_bytes` is rotated, and `keep` rotated ones stay; without bounds all in one file.
    The first `append` (or `open`) takes a lock for as long as the history is open: one writer at a time.
    Every method raises StorageError, which names the file, where the disk does not play along.
    """

    def __init__(self, path: Path, *, max_bytes: float = math.inf, keep: int = sys.maxsize) -> None:
        self._path = path
        self._max_bytes = max_bytes
        self._keep = keep
        self._mutex = threading.Lock()
        self._file: int | None = None
        self._lock: int | None = None

    def open(self) -> None:
        """Makes the history ready for writing: takes the lock, creates the file, sets a torn last line aside."""
        with self._mutex:
            self._open()

    def close(self) -> None:
        """Gives file and lock back; a later `append` opens them again."""
        with self._mutex:
            self._close()

    def append(self, evaluation: Evaluation) -> None:
        """Adds one line and waits until it is on the disk. A line that does not fit on the disk leaves no trace."""
        try:
            line = to_json(evaluation).encode() + b"\n"
        except ValueError as error:
            raise StorageError(f"{self._path}: evaluation {evaluation.id} cannot be stored: {error}") from error
        with self._mutex:
            file = self._open()
            try:
                size = os.fstat(file).st_size
                if size > 0 and size + len(line) > self._max_bytes:
                    self._rotate()
                    file = self._open()
                self._write(file, line)
            except OSError as error:
                # Whatever state the file is in now, the next append looks at it afresh.
                self._close()
                raise _storage_error(self._path, "cannot be written", error) from error

    def files(self) -> list[Path]:
        """All files of the history, oldest first, the one in use last."""
        try:
            current = [self._path] if self._path.exists() else []
            return self._rotated() + current
        except OSError as error:
            raise _storage_error(self._path.parent, "cannot be read", error) from error

    def evaluations(self) -> Iterator[Evaluation]:
        """Every evaluation that can be read, oldest first; damaged lines are logged and skipped."""
        for path in self.files():
            for number, line in enumerate(_lines(path), start=1):
                evaluation = _parse(path, str(number), line)
                if evaluation is not None:
                    yield evaluation

    def load_latest(self, wanted: Collection[Pair] | None = None) -> Latest:
        """The last evaluation of each model and dataset, read from the end; stops once all `wanted` ones are found.

        Without `wanted` the whole history is read.
        """
        latest: dict[Pair, Evaluation] = {}
        damaged = 0
        missing = None if wanted is None else set(wanted)
        for path in reversed(self.files()):
            for number, line in enumerate(_lines_backwards(path), start=1):
                if missing is not None and not missing:
                    return Latest(latest, damaged)
                evaluation = _parse(path, f"{number} from the end", line)
                if evaluation is None:
                    damaged += 1
                    continue
                pair = (evaluation.model, evaluation.dataset)
                if missing is None:
                    latest.setdefault(pair, evaluation)
                elif pair in missing:
                    missing.remove(pair)
                    latest[pair] = evaluation
        return Latest(latest, damaged)

    def _open(self) -> int:
        if self._file is not None:
            if self._is_in_place(self._file):
                return self._file
            self._close()
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._take_lock()
            created = not self._path.exists()
            self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
            if created:
                sync(self._path.parent)
            else:
                self._mend(self._file)
            os.lseek(self._file, 0, os.SEEK_END)
        except OSError as error:
            self._close()
            raise _storage_error(self._path, "cannot be opened for writing", error) from error
        return self._file

    def _is_in_place(self, file: int) -> bool:
        """Whether the open file still is the one at the path, and was not removed or renamed by somebody else."""
        try:
            return os.path.samestat(os.fstat(file), self._path.stat())
        except OSError:
            return False

    def _close(self) -> None:
        for descriptor in (self._file, self._lock):
            if descriptor is not None:
                with suppress(OSError):  # the data is synced already; there is nothing left to lose
                    os.close(descriptor)
        self._file = self._lock = None

    def _take_lock(self) -> None:
        if self._lock is not None:
            return
        # A file of its own: the history itself is renamed on rotation, and a lock would go with it.
        lock_path = self._path.with_name(self._path.name + ".lock")
        self._lock = os.open(lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            self._close()
            raise StorageError(f"{self._path}: another process is writing this history") from error

    def _write(self, file: int, line: bytes) -> None:
        before = os.lseek(file, 0, os.SEEK_END)
        try:
            rest = memoryview(line)
            while rest:
                rest = rest[os.write(file, rest) :]
            os.fsync(file)
        except OSError:
            with suppress(OSError):  # if even this fails, `_mend` removes the torn line at the next opening
                os.ftruncate(file, before)
            raise

    def _mend(self, file: int) -> None:
        """Ends a last line that only lacks its newline; moves one that a crash tore into a file beside the history."""
        size = os.fstat(file).st_size
        if size == 0 or os.pread(file, 1, size - 1) == b"\n":
            return
        start = _last_line_start(file, size)
        torn = os.pread(file, size - start, start)
        if _parse(self._path, "1 from the end", torn) is not None:
            os.pwrite(file, b"\n", size)
            os.fsync(file)
            return
        aside = self._path.with_name(f"{self._path.name}.torn")
        with aside.open("ab") as out:
            out.write(torn + b"\n")
            out.flush()
            os.fsync(out.fileno())
        os.ftruncate(file, start)
        os.fsync(file)
        _log.warning("torn last line of the history set aside", file=str(self._path), aside=str(aside), bytes=len(torn))

    def _rotate(self) -> None:
        moment = datetime.fromtimestamp(time.time(), UTC)
        rotated = self._rotated()
        if rotated:
            # The names keep the order of writing even where the clock stands still or was set back.
            newest = _rotated_at(rotated[-1])
            moment = moment if newest is None else max(moment, newest + timedelta(microseconds=1))
        target = self._path.with_name(f"{self._path.stem}-{moment.strftime(_STAMP)}{self._path.suffix}")
        self._path.rename(target)
        _log.info("history rotated", file=str(target))
        if self._file is not None:
            os.close(self._file)
            self._file = None
        for old in self._rotated()[: -self._keep] if self._keep else self._rotated():
            old.unlink()
            _log.info("old history removed", file=str(old))
        sync(self._path.parent)

    def _rotated(self) -> list[Path]:
        # Fixed-width UTC times: the order of the names is the order of time.
        files = self._path.parent.glob(f"{self._path.stem}-*Z{self._path.suffix}")
        length = len(self._path.stem) + 1 + _STAMP_LENGTH
        return sorted(file for file in files if len(file.stem) == length and _rotated_at(file) is not None)


def _rotated_at(path: Path) -> datetime | None:
    """When a file was rotated, by its name; None for a file of somebody else."""
    try:
        return datetime.strptime(path.stem[-_STAMP_LENGTH:], _STAMP).replace(tzinfo=UTC)
    except ValueError:
        return None


def _parse(path: Path, number: str, line: bytes) -> Evaluation | None:
    try:
        return from_json(line.decode())
    except (StorageError, UnicodeDecodeError) as error:
        _log.warning("damaged line of the history skipped", file=str(path), line=number, reason=str(error))
        return None


def _lines(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as file:
            for line in file:
                if line.strip():
                    yield line
    except OSError as error:
        raise _storage_error(path, "cannot be read", error) from error


def _lines_backwards(path: Path) -> Iterator[bytes]:
    """The lines of a file, last first, without reading more of it than is asked for."""
    try:
        with path.open("rb") as file:
            end = file.seek(0, os.SEEK_END)
            tail = b""
            while end > 0:
                start = max(0, end - _CHUNK)
                file.seek(start)
                first, *lines = (file.read(end - start) + tail).split(b"\n")
                yield from (line for line in reversed(lines) if line.strip())
                tail, end = first, start
            if tail.strip():
                yield tail
    except OSError as error:
        raise _storage_error(path, "cannot be read", error) from error


def _last_line_start(file: int, size: int) -> int:
    end = size
    while end > 0:
        start = max(0, end - _CHUNK)
        place = os.pread(file, end - start, start).rfind(b"\n")
        if place >= 0:
            return start + place + 1
        end = start
    return 0


def _storage_error(path: Path, what: str, error: OSError) -> StorageError:
    return StorageError(f"{path}: {what}: {error.strerror or error}")
