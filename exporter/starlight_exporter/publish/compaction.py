"""Compaction of the history: thin out old records by day, and rewrite their files without losing others."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Final

from starlight_exporter.evaluation.serialisation import SCHEMA
from starlight_exporter.evaluation.spec import EXECUTION_PROVIDER
from starlight_exporter.file_access import open_regular
from starlight_exporter.files import replacing, sync
from starlight_exporter.formatting import age as duration
from starlight_exporter.publish.boot_clock import BootClock, confirmed_ages, parse_boot_clock
from starlight_exporter.publish.snapshot import Pair

DAY: Final = 86_400
_CHUNK: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class StoredRecord:
    """A record in a history file: its place in bytes, with its line end, and what decides whether it is kept.

    `pair` is None if this version cannot read the record. `identity` is the model file, decision rule and execution
    provider, and the images of a labelled dataset. `boot_clock` was read when the record was stored; None in records
    of 0.1.0.
    """

    start: int
    size: int
    pair: Pair | None = None
    finished_at: float = 0.0
    identity: tuple[str, ...] = ()
    boot_clock: BootClock | None = None


@dataclass(frozen=True, slots=True)
class FilePlan:
    """The records to remove from a file; `size` bytes of the file with this identity (device, inode) were read."""

    path: Path
    file: tuple[int, int]
    size: int
    removed: tuple[StoredRecord, ...]


@dataclass(frozen=True, slots=True)
class CompactionPlan:
    """The records to remove from every file. All of them ended before `before` (UTC seconds).

    `unconfirmed` records are kept, because they are old by their dates only: the age of the oldest record is at least
    `confirmed_age` seconds. `future` records are kept, because the system clock has not reached their dates.
    """

    before: float
    files: tuple[FilePlan, ...]
    unconfirmed: int
    confirmed_age: float
    future: int

    @property
    def records(self) -> int:
        """The number of removed records."""
        return sum(len(file.removed) for file in self.files)

    @property
    def bytes(self) -> int:
        """The size of the removed records."""
        return sum(record.size for file in self.files for record in file.removed)

    @property
    def reason(self) -> str:
        """Why the unconfirmed records are kept."""
        return (
            f"a wrong system clock is possible: the uptime of the machine confirms only {duration(self.confirmed_age)}"
        )

    @property
    def future_reason(self) -> str:
        """Why records have dates in the future."""
        return "the system clock was ahead when they were stored, or is behind now"


def compaction_limit(age: float) -> float:
    """Return the start of the day (UTC seconds) before which records have this age in seconds by their dates."""
    return (time.time() - age) // DAY * DAY


def plan_compaction(
    paths: Sequence[Path], age: float, *, now: BootClock | None, trust_dates: bool = False
) -> CompactionPlan:
    """Return what to remove from the files of a history, oldest first: records of days that ended `age` seconds ago.

    The system clock may have been wrong when a record was stored, and may be wrong now. So the clock of the machine,
    now at `now`, must confirm the age, unless `trust_dates`. Raises OSError.
    """
    files = [_read(path) for path in paths]
    records = [record for _, _, of_file in files for record in of_file]
    # After reading: the records that were stored meanwhile are not in the future.
    before, date = compaction_limit(age), time.time()
    old = list(superseded(records, before))
    ages = confirmed_ages([*(record.boot_clock for record in records), now])
    removed = {number for number in old if trust_dates or ages[number] >= age}
    plans, first = [], 0
    for path, (file, size, of_file) in zip(paths, files, strict=True):
        chosen = tuple(record for number, record in enumerate(of_file, start=first) if number in removed)
        plans.append(FilePlan(path, file, size, chosen))
        first += len(of_file)
    future = sum(record.pair is not None and record.finished_at > date for record in records)
    return CompactionPlan(before, tuple(plans), len(old) - len(removed), ages[0], future)


def superseded(records: Sequence[StoredRecord], before: float) -> Iterator[int]:
    """Yield the numbers of the records to remove by their dates, in the order of storage.

    Kept are those since `before`, and of each model and dataset the first of each day (UTC), the first after each
    change of its identity, and the newest. Records that cannot be read are kept: another version may read them.
    """
    newest = {record.pair: number for number, record in enumerate(records)}
    identities: dict[Pair, tuple[str, ...]] = {}
    days: set[tuple[Pair, int]] = set()
    for number, record in enumerate(records):
        if record.pair is None:
            continue
        day = (record.pair, int(record.finished_at // DAY))
        first = day not in days or identities.get(record.pair) != record.identity
        days.add(day)
        identities[record.pair] = record.identity
        if not first and record.finished_at < before and number != newest[record.pair]:
            yield number


def remove_records(plan: FilePlan) -> bool:
    """Rewrite a file atomically without the removed records; return whether it is still the file that was read.

    Readers see the old or the new content. Records that were appended since are kept. A file without records is
    deleted, unless it has grown. Raises OSError; then the file is unchanged.
    """
    with open_regular(plan.path) as source:
        found = os.fstat(source.fileno())
        if (found.st_dev, found.st_ino) != plan.file or found.st_size < plan.size:
            return False
        kept = found.st_size - sum(record.size for record in plan.removed)
        if not kept:
            plan.path.unlink()
        else:
            with replacing(plan.path) as target:
                for start, end in _kept_ranges(plan.removed):
                    _copy(source, target, start, found.st_size if end is None else end)
    sync(plan.path.parent)
    return True


def _kept_ranges(removed: Iterable[StoredRecord]) -> Iterator[tuple[int, int | None]]:
    start = 0
    for record in removed:
        if record.start > start:
            yield start, record.start
        start = record.start + record.size
    yield start, None


def _copy(source: BinaryIO, target: BinaryIO, start: int, end: int) -> None:
    source.seek(start)
    left = end - start
    while left:
        part = source.read(min(left, _CHUNK))
        if not part:
            raise OSError("file became shorter")
        target.write(part)
        left -= len(part)


def read_records(path: Path) -> list[StoredRecord]:
    """Return the records of a file. Raises OSError."""
    return _read(path)[2]


def _read(path: Path) -> tuple[tuple[int, int], int, list[StoredRecord]]:
    """Return the identity of a file, the size of its complete lines, and their records."""
    records, start = [], 0
    with open_regular(path) as file:
        status = os.fstat(file.fileno())
        for line in file:
            if not line.endswith(b"\n"):
                # It is being written.
                break
            if line.strip():
                records.append(_record(line, start))
            start += len(line)
    return (status.st_dev, status.st_ino), start, records


def _record(line: bytes, start: int) -> StoredRecord:
    try:
        content: dict[str, Any] = json.loads(line)
        finished_at = float(content["finished_at"])
        if content["schema"] != SCHEMA or not math.isfinite(finished_at):
            return StoredRecord(start, len(line))
        provenance = content["provenance"]
        names = ["model_sha256", "decision"]
        if content.get("unlabelled") is None:
            # The images of an unlabelled dataset change all the time.
            names.append("dataset_fingerprint")
        return StoredRecord(
            start,
            len(line),
            pair=(str(content["model"]), str(content["dataset"])),
            finished_at=finished_at,
            # 0.1.0 did not record the execution provider, and had only this one.
            identity=(
                str(provenance.get("execution_provider", EXECUTION_PROVIDER)),
                *(str(provenance[name]) for name in names),
            ),
            boot_clock=parse_boot_clock(content.get("boot_clock")),
        )
    except (ValueError, TypeError, KeyError, AttributeError, OverflowError, RecursionError):
        return StoredRecord(start, len(line))
