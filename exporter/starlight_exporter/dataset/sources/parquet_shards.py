"""Parquet shards as Hugging Face writes them: a column of `{bytes, path}`, and columns with labels.

Shards are untrusted: the footer and the groups of rows are limited, and repeated content is not copied. What a group
takes in memory is known from its pages (see `parquet_pages`), not from the footer, which may be false.
"""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Final

from starlight_exporter.dataset.found_files import FoundFile
from starlight_exporter.dataset.manifest_rows import ManifestError, column_values, is_text
from starlight_exporter.dataset.sources.base import Read, too_large
from starlight_exporter.dataset.sources.class_labels import label_names, named
from starlight_exporter.dataset.sources.parquet_pages import (
    PageError,
    chunk_range,
    require_small_footer,
    uncompressed_bytes,
)
from starlight_exporter.dataset.sources.placed import is_row_of, other_file
from starlight_exporter.dataset.sources.ranges import RangeFile
from starlight_exporter.dataset.sources.store import Store, StoredObject
from starlight_exporter.dataset.sources.tar_index import ShardError
from starlight_exporter.detector.format_signatures import SIGNATURE_BYTES
from starlight_exporter.errors import DatasetError, ImageError
from starlight_exporter.formatting import size

MAX_GROUP_BYTES: Final = 512 * 1024 * 1024
"""Uncompressed bytes of the columns of one group of rows that are read together."""
MAX_GROUP_ROWS: Final = 1024 * 1024
_KEPT_GROUPS: Final = 4
_KEPT_FILES: Final = 16
_BATCH: Final = 1024
_MAGIC: Final = b"PAR1"
_BYTES: Final = "bytes"
_CONTENT_TYPES: Final = ("binary", "large_binary", "binary_view")
_TEXTS: Final = ("string", "large_string")
_PATH: Final = "path"


@dataclass(frozen=True, slots=True)
class RowGroup:
    """The images of a group of rows: an Arrow array with one element per row, and their paths if these are texts."""

    rows: range
    column: Any
    paths: Sequence[object]

    def content(self, row: int) -> memoryview | None:
        """Return the image of a row, None if the row has none."""
        value = self.column[row - self.rows.start][_BYTES]
        return memoryview(value.value.as_buffer()) if value.is_valid and value.value.is_valid else None

    def path(self, row: int) -> object:
        """Return the path of the image of a row, None if the row has none."""
        return self.paths[row - self.rows.start] if self.paths else None


class ParquetShard:
    """One shard. Thread-safe, except that `rows` has one caller. Raises ShardError, or DatasetError without pyarrow."""

    def __init__(self, store: Store, stored: StoredObject) -> None:
        self._store = store
        self._stored = stored
        _require_footer(RangeFile(store, stored, buffer_bytes=64 * 1024))
        file, _ = self._open()
        if len(set(file.schema_arrow.names)) != len(file.schema_arrow.names):
            raise ShardError("has two columns of the same name")
        self.column = _image_column(file.schema_arrow)
        self._schema = file.schema_arrow
        self.first_rows = [0]
        with _errors():
            groups = [file.metadata.row_group(number).num_rows for number in range(file.metadata.num_row_groups)]
        for rows in groups:
            if not 0 <= rows <= MAX_GROUP_ROWS:
                raise ShardError(f"has {rows} rows in one group, at most {MAX_GROUP_ROWS} are read")
            self.first_rows.append(self.first_rows[-1] + rows)

    @property
    def rows_total(self) -> int:
        """The number of rows."""
        return self.first_rows[-1]

    def rows(self) -> Iterator[dict[str, object]]:
        """Yield the cells of every row that are texts, numbers and booleans, and `path` of the image.

        The numbers of a class label are replaced by the names that the shard states.
        """
        names = label_names(self._schema)
        plain = [one.name for one in self._schema if _is_cell(one.type) and one.name != _PATH]
        columns = [*plain, f"{self.column}.{_PATH}"]
        # Texts as dictionaries, so that they are only copied once their length is checked.
        file, ranges = self._open(
            [name for name in columns if name not in plain or is_text(self._schema.field(name).type)]
        )
        for group in range(len(self.first_rows) - 1):
            with _errors():
                self._keep(file, ranges, group, columns)
                # One group at a time: Arrow does not join the dictionaries of several in a structure.
                for batch in file.iter_batches(batch_size=_BATCH, columns=columns, row_groups=[group]):
                    batch.validate(full=True)
                    values = {name: column_values(batch.column(name)) for name in plain}
                    paths = column_values(batch.column(self.column).field(_PATH))
                    for number, path in enumerate(paths):
                        cells = {name: named(names.get(name), column[number]) for name, column in values.items()}
                        yield {**cells, _PATH: path}

    def group_of(self, row: int) -> int:
        """Return the number of the group that contains a row."""
        return bisect_right(self.first_rows, row) - 1

    def group(self, group: int) -> RowGroup:
        """Read the images of a group of rows."""
        path = self._schema.field(self.column).type.field(_PATH)
        columns = [f"{self.column}.{name}" for name in (_BYTES, _PATH) if name == _BYTES or str(path.type) in _TEXTS]
        with _errors():
            # As a dictionary, so that content that is stored once and repeated a million times is in memory once.
            file, ranges = self._open(columns)
            self._keep(file, ranges, group, columns)
            table = file.read_row_group(group, columns=columns)
            table.validate(full=True)
            chunks = table.column(self.column).chunks if len(columns) > 1 else ()
            paths = [path for chunk in chunks for path in column_values(chunk.field(_PATH))]
        rows = range(self.first_rows[group], self.first_rows[group + 1])
        if table.num_rows != len(rows):
            raise ShardError(f"is damaged: a group of {len(rows)} rows has {table.num_rows}")
        return RowGroup(rows, table.column(self.column), paths)

    def _keep(self, file: Any, ranges: RangeFile, group: int, columns: Sequence[str]) -> None:
        """Read columns of a group into memory, compressed. Raise ShardError if they are too large uncompressed."""
        metadata = file.metadata.row_group(group)
        chunks = [
            chunk
            for chunk in map(metadata.column, range(metadata.num_columns))
            if any(f"{chunk.path_in_schema}.".startswith(f"{name}.") for name in columns)
        ]
        places = [chunk_range(chunk, self._stored.size_bytes) for chunk in chunks]
        _require_small(sum(length for _, length in places))
        contents = ranges.keep(places)
        _require_small(sum(uncompressed_bytes(content, values=metadata.num_rows) for content in contents))

    def _open(self, dictionaries: Sequence[str] = ()) -> tuple[Any, RangeFile]:
        """Return the shard as a Parquet file, and the file that it reads."""
        try:
            from pyarrow import parquet
        except ImportError as error:
            text = f"{self._stored.name} needs pyarrow; install it, or this package with the extra parquet"
            raise DatasetError(text) from error
        file = RangeFile(self._store, self._stored, buffer_bytes=64 * 1024)
        with _errors():
            return parquet.ParquetFile(file, read_dictionary=list(dictionaries)), file


class ParquetShards:
    """The open shards of a store, and the groups of rows that were read last. Thread-safe."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._shards: OrderedDict[tuple[str, str | None], Future[ParquetShard]] = OrderedDict()
        self._groups: OrderedDict[tuple[str, str | None, int], Future[Any]] = OrderedDict()

    def shard(self, stored: StoredObject) -> ParquetShard:
        """Return an open shard. Raise ShardError or DatasetError."""
        key = stored.name, stored.identity
        shard: ParquetShard = self._once(self._shards, key, _KEPT_FILES, lambda: ParquetShard(self._store, stored))
        return shard

    def group(self, stored: StoredObject, row: int) -> RowGroup:
        """Return the group that contains a row. Raise ShardError or DatasetError."""
        shard = self.shard(stored)
        if not 0 <= row < shard.rows_total:
            raise ShardError(f"has no row {row}")
        group = shard.group_of(row)
        key = stored.name, stored.identity, group
        found: RowGroup = self._once(self._groups, key, _KEPT_GROUPS, lambda: shard.group(group))
        return found

    def _once(self, known: OrderedDict[Any, Future[Any]], key: Any, keep: int, make: Any) -> Any:
        """Return a value that one thread makes while the others wait for it."""
        with self._lock:
            future = known.get(key)
            is_new = future is None
            if future is None:
                future = known[key] = Future()
            known.move_to_end(key)
            while len(known) > keep:
                known.popitem(last=False)
        if is_new:
            try:
                future.set_result(make())
            except BaseException as error:  # noqa: BLE001  # raised again in every thread that waits
                future.set_exception(error)
                with self._lock:
                    if known.get(key) is future:
                        del known[key]
        return future.result()


def read_rows(
    shards: ParquetShards, shard_of: Callable[[FoundFile], StoredObject], files: Iterable[FoundFile], *, max_bytes: int
) -> Iterator[Read]:
    """Yield the content of files in Parquet shards, in order. `shard_of` may raise ImageError."""
    # The last group is kept here, because other threads may replace it in `shards` before all its rows are read.
    group: RowGroup | None = None
    place: object = None
    for found in files:
        if group is None or place != (found.shard, found.identity) or found.offset not in group.rows:
            group, place = None, (found.shard, found.identity)
            try:
                group = shards.group(shard_of(found), found.offset)
            except ImageError as error:
                yield found, error
                continue
            except ShardError as error:
                yield found, ImageError(f"{found.shard} {error}", reason="unreadable")
                continue
        content = group.content(found.offset)
        if content is None:
            yield found, ImageError("has no bytes", reason="unreadable")
        elif found.placed_by is not None and not is_row_of(group.path(found.offset), len(content), found):
            yield found, other_file(found)
        elif len(content) > max_bytes:
            start = bytes(content[:SIGNATURE_BYTES])
            yield found, too_large(max_bytes, size_bytes=len(content), start=start)
        else:
            yield found, bytes(content)


class _errors:  # noqa: N801  # used like a function
    """Convert the errors of Arrow, which are OSError and ValueError as well, to ShardError."""

    def __enter__(self) -> None:
        """Do nothing."""

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        """Raise ShardError for an error of Arrow."""
        import pyarrow as arrow

        if isinstance(error, arrow.ArrowException | OSError | ValueError | KeyError | ManifestError):
            raise ShardError(f"cannot be read: {' '.join(str(error).split())[:200]}") from error


def _require_footer(file: RangeFile) -> None:
    file.seek(-8, 2)
    try:
        end = file.read(8)
    except OSError as error:
        raise ShardError(f"cannot be read: {error}") from error
    if end[4:] != _MAGIC:
        raise ShardError("is truncated, or no Parquet file")
    try:
        require_small_footer(end)
    except PageError as error:
        raise ShardError(str(error)) from error


def _image_column(schema: Any) -> str:
    from pyarrow import types

    found = [
        one.name
        for one in schema
        if types.is_struct(one.type)
        and sorted(one.type.field(number).name for number in range(one.type.num_fields)) == [_BYTES, _PATH]
        and str(one.type.field(_BYTES).type) in _CONTENT_TYPES
    ]
    if len(found) != 1:
        raise ShardError(f"has {len(found) or 'no'} column{'s' * (len(found) > 1)} of {{bytes, path}}, expected one")
    return str(found[0])


def _require_small(group_bytes: int) -> None:
    if group_bytes > MAX_GROUP_BYTES:
        raise ShardError(f"has {size(group_bytes)} in one group of rows, at most {size(MAX_GROUP_BYTES)} are read")


def _is_cell(of_type: Any) -> bool:
    try:
        is_text(of_type)
    except ManifestError:
        return False
    return True
