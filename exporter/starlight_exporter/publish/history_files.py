"""Files of the history: names of rotated files, records in both directions, and repair of a truncated last record."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, Final

import structlog

from starlight_exporter.errors import NewerSchemaError, StorageError
from starlight_exporter.evaluation.results import Evaluation
from starlight_exporter.evaluation.serialisation import from_json
from starlight_exporter.file_access import open_regular

_log = structlog.get_logger(__name__)

_STAMP: Final = "%Y%m%dT%H%M%S.%fZ"
_STAMP_LENGTH: Final = len("20260101T000000.000000Z")

_CHUNK: Final = 64 * 1024


def rotated_files(path: Path) -> list[Path]:
    """Return the rotated files of the history at `path`, oldest first. Raises OSError."""
    # Timestamps have a fixed width, so that the order of names is the order of time.
    files = path.parent.glob(f"{path.stem}-*Z{path.suffix}")
    length = len(path.stem) + 1 + _STAMP_LENGTH
    return sorted(file for file in files if len(file.stem) == length and rotation_time(file) is not None)


def rotated_name(path: Path, moment: datetime) -> Path:
    """Return the path to which the history at `path` is renamed when it is rotated."""
    return path.with_name(f"{path.stem}-{moment.strftime(_STAMP)}{path.suffix}")


def rotation_time(path: Path) -> datetime | None:
    """Return when a file was rotated, from its name; None for other files."""
    try:
        return datetime.strptime(path.stem[-_STAMP_LENGTH:], _STAMP).replace(tzinfo=UTC)
    except ValueError:
        return None


def records(path: Path) -> Iterator[Evaluation | None]:
    """Yield the records of a file, None for a damaged one, which is logged. StorageError names the file."""
    try:
        with open_regular(path) as file:
            yield from records_of(file, path)
    except FileNotFoundError:
        # Rotation or compaction deleted it after it was listed.
        return
    except OSError as error:
        raise read_error(path, error) from error


def records_of(file: BinaryIO, path: Path) -> Iterator[Evaluation | None]:
    """Yield the records of an open file, which may have another name now, as `records`."""
    try:
        for number, line in enumerate((line for line in file if line.strip()), start=1):
            yield _parse(path, str(number), line)
    except OSError as error:
        raise read_error(path, error) from error


def present(found: Iterable[Evaluation | None]) -> Iterator[Evaluation]:
    """Yield the records that are not damaged."""
    return (record for record in found if record is not None)


def records_backwards(path: Path) -> Iterator[Evaluation | None]:
    """Yield the records of a file as `records`, last first; reads only as much as is consumed."""
    for number, line in enumerate(_lines_backwards(path), start=1):
        yield _parse(path, f"{number} from the end", line)


def repair_last_record(path: Path, file: int) -> None:
    """Complete a last record that lacks only its newline; move a truncated one to `<name>.truncated`.

    A crash during an append can truncate the last record. Raises OSError.
    """
    size = os.fstat(file).st_size
    if size == 0 or os.pread(file, 1, size - 1) == b"\n":
        return
    start = _last_line_start(file, size)
    record = os.pread(file, size - start, start)
    if _parse(path, "1 from the end", record) is not None:
        os.pwrite(file, b"\n", size)
        os.fsync(file)
        return
    truncated = path.with_name(f"{path.name}.truncated")
    with truncated.open("ab") as out:
        out.write(record + b"\n")
        out.flush()
        os.fsync(out.fileno())
    os.ftruncate(file, start)
    os.fsync(file)
    _log.warning("truncated history record moved", file=str(path), target=str(truncated), bytes=len(record))


def read_error(path: Path, error: OSError) -> StorageError:
    """Return the StorageError for a history file or folder that cannot be read."""
    return StorageError(f"{path}: cannot be read: {error.strerror or error}")


def _parse(path: Path, number: str, line: bytes) -> Evaluation | None:
    try:
        return from_json(line.decode())
    except NewerSchemaError as error:
        _log.warning("history record of a newer version skipped", file=str(path), line=number, reason=str(error))
        return None
    except (StorageError, UnicodeDecodeError) as error:
        _log.warning("damaged history record skipped", file=str(path), line=number, reason=str(error))
        return None


def _lines_backwards(path: Path) -> Iterator[bytes]:
    try:
        with open_regular(path) as file:
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
    except FileNotFoundError:
        return
    except OSError as error:
        raise read_error(path, error) from error


def _last_line_start(file: int, size: int) -> int:
    end = size
    while end > 0:
        start = max(0, end - _CHUNK)
        place = os.pread(file, end - start, start).rfind(b"\n")
        if place >= 0:
            return start + place + 1
        end = start
    return 0
