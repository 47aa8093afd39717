"""The history of evaluations: `history.jsonl`, one record per complete evaluation, synced to disk, rotated by size.

Rotated files are named `history-<UTC time>.jsonl`; the oldest ones are deleted.
"""

from __future__ import annotations

import fcntl
import math
import os
import sys
import threading
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import BinaryIO

import structlog

from starlight_exporter.errors import StorageError
from starlight_exporter.evaluation.results import Evaluation
from starlight_exporter.evaluation.serialisation import to_json
from starlight_exporter.file_access import open_regular
from starlight_exporter.files import sync
from starlight_exporter.publish.boot_clock import read_boot_clock
from starlight_exporter.publish.compaction import CompactionPlan, FilePlan, plan_compaction, remove_records
from starlight_exporter.publish.history_files import (
    present,
    read_error,
    records,
    records_backwards,
    records_of,
    repair_last_record,
    rotated_files,
    rotated_name,
    rotation_time,
)
from starlight_exporter.publish.snapshot import Pair

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class LatestEvaluations:
    """The newest evaluation of every model and dataset, and the number of damaged records that were skipped."""

    evaluations: dict[Pair, Evaluation]
    damaged_lines: int


class History:
    """Append to a history and read it. Reading needs no write access and changes no file.

    A file that would exceed `max_bytes` is rotated. The newest `keep` rotated files are kept, and more if all together
    have at most `keep` times `max_bytes`: compacted files are smaller. The first `append`
    (or `open`) takes a lock until `close`: a history has one writer. Every method raises StorageError with the file.
    """

    def __init__(self, path: Path, *, max_bytes: float = math.inf, keep: int = sys.maxsize) -> None:
        self._path = path
        self._max_bytes = max_bytes
        self._keep = keep
        self._mutex = threading.Lock()
        self._file: int | None = None
        self._lock: int | None = None

    def open(self) -> None:
        """Take the lock, create a missing file, and repair a truncated last record."""
        with self._mutex:
            self._open()

    def close(self) -> None:
        """Release file and lock; a later `append` opens them again."""
        with self._mutex:
            self._close()

    def append(self, evaluation: Evaluation) -> None:
        """Append a record and wait until it is on disk. A record that does not fit on the disk is removed again."""
        reading = read_boot_clock()
        try:
            line = to_json(evaluation, boot_clock=reading and asdict(reading)).encode() + b"\n"
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
                # The state of the file is unknown: the next append opens it again and repairs it.
                self._close()
                raise self._write_error("cannot be written", error) from error

    def files(self) -> list[Path]:
        """Return all files of the history, oldest first, the active one last."""
        try:
            return rotated_files(self._path) + ([self._path] if self._path.exists() else [])
        except OSError as error:
            raise read_error(self._path.parent, error) from error

    def evaluations(self) -> Iterator[Evaluation]:
        """Yield every evaluation, oldest first; damaged records are logged and skipped.

        Those that were stored before the call are yielded once, also if files are rotated or compacted meanwhile.
        """
        with ExitStack() as stack:
            while True:
                active = self._open_active(stack)
                try:
                    rotated = rotated_files(self._path)
                except OSError as error:
                    raise read_error(self._path.parent, error) from error
                # Otherwise it was rotated or rewritten meanwhile, and its records may be in a listed file as well.
                if active is None or self._is_in_place(active.fileno()):
                    break
            for path in rotated:
                yield from present(records(path))
            if active is not None:
                yield from present(records_of(active, self._path))

    def _open_active(self, stack: ExitStack) -> BinaryIO | None:
        try:
            return stack.enter_context(open_regular(self._path))
        except FileNotFoundError:
            return None
        except OSError as error:
            raise read_error(self._path, error) from error

    def load_latest(self, wanted: Collection[Pair] | None = None) -> LatestEvaluations:
        """Return the newest evaluation of each wanted model and dataset; without `wanted`, of all.

        Reads backwards from the end and stops once all wanted evaluations are found.
        """
        latest: dict[Pair, Evaluation] = {}
        damaged = 0
        missing = None if wanted is None else set(wanted)
        for path in reversed(self.files()):
            if missing is not None and not missing:
                break
            for record in records_backwards(path):
                if record is None:
                    damaged += 1
                    continue
                pair = (record.model, record.dataset)
                if missing is None:
                    latest.setdefault(pair, record)
                elif pair in missing:
                    missing.remove(pair)
                    latest[pair] = record
                    if not missing:
                        break
        return LatestEvaluations(latest, damaged)

    def plan_compaction(self, age: float, *, trust_dates: bool = False) -> CompactionPlan:
        """Return what `compact` would remove. Reads all records, and changes nothing."""
        paths = self.files()
        try:
            return plan_compaction(paths, age, now=read_boot_clock(), trust_dates=trust_dates)
        except OSError as error:
            raise read_error(self._path.parent, error) from error

    def compact(
        self, age: float, *, trust_dates: bool = False, removed: Callable[[FilePlan], None] = lambda _: None
    ) -> CompactionPlan:
        """Thin out the records that are older than `age` seconds, and return what was removed.

        Evaluations can be appended meanwhile. A file that was rotated or deleted meanwhile is left as it is. On a full
        disk, the files that are not rewritten yet keep their content. `removed` is called after each file.
        """
        self.open()
        plan = self.plan_compaction(age, trust_dates=trust_dates)
        done = []
        for file in plan.files:
            if not file.removed:
                continue
            with self._mutex:
                # Nothing is removed without the lock.
                self._open()
                try:
                    rewritten = remove_records(file)
                except FileNotFoundError:
                    continue
                except OSError as error:
                    raise StorageError(f"{file.path}: cannot be compacted: {error.strerror or error}") from error
                finally:
                    if file.path == self._path and self._file is not None:
                        # The next append opens the new file.
                        os.close(self._file)
                        self._file = None
            if rewritten:
                done.append(file)
                removed(file)
        return replace(plan, files=tuple(done))

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
                repair_last_record(self._path, self._file)
            os.lseek(self._file, 0, os.SEEK_END)
        except OSError as error:
            self._close()
            raise self._write_error("cannot be opened for writing", error) from error
        return self._file

    def _is_in_place(self, file: int) -> bool:
        """Return whether the open file is still the one at the path; another process can remove or rename it."""
        try:
            return os.path.samestat(os.fstat(file), self._path.stat())
        except OSError:
            return False

    def _close(self) -> None:
        for descriptor in (self._file, self._lock):
            if descriptor is not None:
                with suppress(OSError):  # all data is synced already
                    os.close(descriptor)
        self._file = self._lock = None

    def _take_lock(self) -> None:
        if self._lock is not None:
            return
        # A separate file, because rotation renames the history itself and its lock with it.
        lock_path = self._path.with_name(self._path.name + ".lock")
        try:
            self._lock = os.open(lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        except PermissionError:
            # Created by another user, such as root in a restore or a compaction. A lock needs no write access.
            self._lock = os.open(lock_path, os.O_RDONLY | os.O_CLOEXEC)
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
            with suppress(OSError):  # otherwise the next `_open` repairs the file
                os.ftruncate(file, before)
            raise

    def _rotate(self) -> None:
        moment = datetime.fromtimestamp(time.time(), UTC)
        rotated = rotated_files(self._path)
        newest = rotation_time(rotated[-1]) if rotated else None
        if newest is not None:
            # Names keep the order of writing even if the clock stands still or is set back.
            moment = max(moment, newest + timedelta(microseconds=1))
        target = rotated_name(self._path, moment)
        self._path.rename(target)
        _log.info("history rotated", file=str(target))
        if self._file is not None:
            os.close(self._file)
            self._file = None
        self._delete_old_files()
        sync(self._path.parent)

    def _delete_old_files(self) -> None:
        rotated = rotated_files(self._path)
        total = sum(file.stat().st_size for file in rotated)
        for old in rotated[: -self._keep] if self._keep else rotated:
            if self._keep and total <= self._keep * self._max_bytes:
                return
            total -= old.stat().st_size
            old.unlink()
            _log.info("old history file deleted", file=str(old))

    def _write_error(self, what: str, error: OSError) -> StorageError:
        return StorageError(f"{self._path}: {what}: {error.strerror or error}")
