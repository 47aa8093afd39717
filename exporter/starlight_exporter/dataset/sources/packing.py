"""Write a labelled dataset as shards with a label manifest, in the order in which an evaluation reads them."""

from __future__ import annotations

import csv
import io
import shutil
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Final, Literal, Protocol

from starlight_exporter.dataset.found_files import FoundFile
from starlight_exporter.dataset.labelled_files import LabelledFiles
from starlight_exporter.dataset.labels import Labels
from starlight_exporter.dataset.manifest_rows import ALL_COLUMNS, MAX_ROWS, PLACE_COLUMNS
from starlight_exporter.dataset.names import one_line, printable_path
from starlight_exporter.dataset.sources.opening import open_source
from starlight_exporter.dataset.sources.root import DatasetRoot
from starlight_exporter.dataset.sources.source import Source
from starlight_exporter.errors import DatasetError, DependencyError, ImageError, StorageError

ShardFormat = Literal["tar", "parquet"]
MAX_FILE_BYTES: Final = 1024 * 1024 * 1024
SHARD_BYTES: Final = 256 * 1024 * 1024
SHARD_FILES: Final = 1000
MANIFEST: Final = "labels.csv"
_GROUP_FILES: Final = 64
"""Rows of one group in Parquet shards: an evaluation reads this many files at once, or a multiple."""
_BLOCK: Final = tarfile.BLOCKSIZE


class _Shard(Protocol):
    """A shard that is written."""

    def add(self, path: str, data: bytes, label: str) -> int:
        """Add a file, and return its offset for the manifest."""

    def close(self) -> None:
        """Complete the shard."""


def pack(
    root: DatasetRoot,
    out: Path,
    shard_format: ShardFormat,
    *,
    shard_bytes: int = SHARD_BYTES,
    shard_files: int = SHARD_FILES,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> int:
    """Write the dataset in `root` to the folder `out`, and return the number of shards. The same files, same bytes.

    `out` must be empty or not exist; an interrupted run leaves nothing behind. Raise DatasetError if a file cannot be
    read, StorageError if a shard cannot be written, and DependencyError for Parquet without pyarrow.
    """
    open_shard = _TarShard if shard_format == "tar" else _parquet_writer()
    try:
        if out.is_symlink() or (out.exists() and not out.is_dir()):
            raise DatasetError(f"{out}: is no folder; choose another one")
        if isinstance(root, Path) and out.resolve().is_relative_to(root.resolve()):
            raise DatasetError(f"{out}: is inside the dataset; choose another folder")
        if out.is_dir() and any(out.iterdir()):
            raise DatasetError(f"{out}: is not empty; choose another folder")
        out.parent.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=f".{out.name}.", suffix=".unfinished", dir=out.absolute().parent))
    except OSError as error:
        raise StorageError(f"{out}: cannot be written: {error.strerror or error}") from error
    try:
        with open_source(root) as source:
            packer = _Packer(source, staging, open_shard, shard_format, shard_bytes, shard_files)
            shards = packer.pack(progress)
        staging.chmod(0o755)
        staging.replace(out)
    except OSError as error:
        raise StorageError(f"{out}: cannot be written: {error.strerror or error}") from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return shards


@dataclass(slots=True)
class _Packer:
    source: Source
    folder: Path
    open_shard: Callable[[Path], _Shard]
    suffix: str
    shard_bytes: int
    shard_files: int
    shards: int = 0

    def pack(self, progress: Callable[[int, int], None]) -> int:
        labelled = self.source.labelled_files()
        found = labelled.found
        if len(found) > MAX_ROWS:
            raise DatasetError(
                f"{self.source.description}: has {len(found)} files; a label manifest lists at most {MAX_ROWS}"
            )
        size, files = 0, 0
        with ExitStack() as stack, (self.folder / MANIFEST).open("w", encoding="utf-8", newline="") as text:
            rows = csv.writer(text, lineterminator="\n")
            rows.writerow(ALL_COLUMNS)
            shard, name = self._next(stack)
            for number, (file, data) in enumerate(self._contents(found)):
                if files and (size + len(data) > self.shard_bytes or files >= self.shard_files):
                    stack.close()
                    shard, name = self._next(stack)
                    size, files = 0, 0
                labels = labelled.labels_of(file)
                offset = shard.add(file.path, data, labels.method or file.file_class)
                rows.writerow(_row(labelled, file, labels, (name, offset, len(data))))
                size, files = size + len(data), files + 1
                progress(number + 1, len(found))
        return self.shards

    def _next(self, stack: ExitStack) -> tuple[_Shard, str]:
        name = f"shard-{self.shards:06d}.{self.suffix}"
        shard = self.open_shard(self.folder / name)
        stack.callback(shard.close)
        self.shards += 1
        return shard, name

    def _contents(self, found: Any) -> Iterator[tuple[FoundFile, bytes]]:
        for start in range(0, len(found), _GROUP_FILES):
            part = found[start : start + _GROUP_FILES]
            for file in part:
                if file.problem is not None or printable_path(file.path) != file.path:
                    raise self._error(file, file.problem or "its name is not UTF-8")
            for file, data in self.source.read_shard(part, max_bytes=MAX_FILE_BYTES):
                if isinstance(data, ImageError):
                    raise self._error(file, str(data))
                yield file, data

    def _error(self, file: FoundFile, problem: str) -> DatasetError:
        return DatasetError(f"{self.source.description}: cannot be packed: {one_line(file.path)} {problem}")


def _row(labelled: LabelledFiles, file: FoundFile, labels: Labels, place: tuple[str, int, int]) -> list[object]:
    cells = {
        "path": file.path,
        "class": file.file_class,
        "method": labels.method,
        "category": labels.category,
        "cover": _cover(labelled, labels.cover),
        "source": labels.source,
        "payload_bytes": labels.payload_bytes,
        "bit_order": labels.bit_order,
        "reaches_crop": labels.reaches_crop,
        **dict(zip(PLACE_COLUMNS, place, strict=True)),
    }
    return ["" if cells[column] is None else cells[column] for column in ALL_COLUMNS]


def _cover(labelled: LabelledFiles, cover: str | None) -> str | None:
    """Return a stated cover as a path of the dataset: in a manifest, not relative to the clean files."""
    path = f"{labelled.clean_folder}/{cover}"
    return path if cover is not None and labelled.found.number_of(path) is not None else cover


class _TarShard:
    """A tar archive without owners and times, so that the same files give the same bytes."""

    def __init__(self, path: Path) -> None:
        self._archive = tarfile.open(path, "w", format=tarfile.PAX_FORMAT, encoding="utf-8")  # noqa: SIM115

    def add(self, path: str, data: bytes, label: str) -> int:  # noqa: ARG002  # the path contains it, or the manifest
        """See `_Shard`."""
        member = tarfile.TarInfo(path)
        member.size = len(data)
        self._archive.addfile(member, io.BytesIO(data))
        return self._archive.offset - -(-len(data) // _BLOCK) * _BLOCK

    def close(self) -> None:
        """See `_Shard`."""
        self._archive.close()


def _parquet_writer() -> Callable[[Path], _Shard]:
    try:
        import pyarrow as arrow
        from pyarrow import parquet
    except ImportError as error:
        text = "Parquet shards need pyarrow; install it, or this package with the extra parquet"
        raise DependencyError(text) from error

    schema = arrow.schema(
        [("image", arrow.struct([("bytes", arrow.binary()), ("path", arrow.string())])), ("label", arrow.string())]
    )

    class _ParquetShard:
        """A Parquet file; images are compressed already, so they are stored as they are."""

        def __init__(self, path: Path) -> None:
            self._file: IO[bytes] = path.open("wb")
            self._writer = parquet.ParquetWriter(
                self._file, schema, compression="none", use_dictionary=False, write_statistics=False
            )
            self._rows: list[dict[str, object]] = []
            self._count = 0

        def add(self, path: str, data: bytes, label: str) -> int:
            """See `_Shard`."""
            self._rows.append({"image": {"bytes": data, "path": path}, "label": label})
            self._count += 1
            if len(self._rows) == _GROUP_FILES:
                self._write()
            return self._count - 1

        def close(self) -> None:
            """See `_Shard`."""
            self._write()
            self._writer.close()
            self._file.close()

        def _write(self) -> None:
            if self._rows:
                self._writer.write_table(arrow.Table.from_pylist(self._rows, schema=schema))
                self._rows = []

    return _ParquetShard
