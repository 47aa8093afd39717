"""Parquet shards as Hugging Face writes them: a column of `{bytes, path}`, and columns with labels.

Shards are untrusted: the footer and the groups of rows are limited, and repeated content is not copied.
"""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future
from typing import Any, Final

from starlight_exporter.dataset.manifest_rows import ManifestError, column_values, is_text
from starlight_exporter.dataset.sources.ranges import RangeFile
from starlight_exporter.dataset.sources.store import Store, StoredObject
from starlight_exporter.dataset.sources.tar_index import ShardError
from starlight_exporter.errors import DatasetError
from starlight_exporter.formatting import size

MAX_FOOTER_BYTES: Final = 64 * 1024 * 1024
MAX_GROUP_BYTES: Final = 512 * 1024 * 1024
"""Uncompressed images of one group of rows, which is read as a whole."""
_KEPT_GROUPS: Final = 4
_KEPT_FILES: Final = 16
_BATCH: Final = 1024
_MAGIC: Final = b"PAR1"
_BYTES: Final = "bytes"
_PATH: Final = "path"


class ParquetShard:
    """One shard. Thread-safe, except that `rows` has one caller. Raises ShardError, or DatasetError without pyarrow."""

    def __init__(self, store: Store, stored: StoredObject) -> None:
        self._store = store
        self._stored = stored
        _require_footer(RangeFile(store, stored, buffer_bytes=64 * 1024))
        file = self._open()
        self.column = _image_column(file.schema_arrow)
        self._schema = file.schema_arrow
        groups = [file.metadata.row_group(number) for number in range(file.metadata.num_row_groups)]
        self.first_rows = [0]
        for group in groups:
            self.first_rows.append(self.first_rows[-1] + group.num_rows)
        self._group_bytes = [_content_bytes(group, f"{self.column}.{_BYTES}") for group in groups]

    @property
    def rows_total(self) -> int:
        """The number of rows."""
        return self.first_rows[-1]

    def rows(self) -> Iterator[dict[str, object]]:
        """Yield the cells of every row that are texts, numbers and booleans, and `path` of the image.

        The numbers of a class label are replaced by the names that the shard states.
        """
        names = _label_names(self._schema)
        plain = [one.name for one in self._schema if _is_cell(one.type) and one.name != _PATH]
        columns = [*plain, f"{self.column}.{_PATH}"]
        # Texts as dictionaries, so that they are only copied once their length is checked.
        file = self._open([name for name in columns if name not in plain or is_text(self._schema.field(name).type)])
        for group in range(len(self._group_bytes)):
            with _errors():
                # One group at a time: Arrow does not join the dictionaries of several in a structure.
                for batch in file.iter_batches(batch_size=_BATCH, columns=columns, row_groups=[group]):
                    batch.validate(full=True)
                    values = {name: column_values(batch.column(name)) for name in plain}
                    paths = column_values(batch.column(self.column).field(_PATH))
                    for number, path in enumerate(paths):
                        cells = {name: _named(names.get(name), column[number]) for name, column in values.items()}
                        yield {**cells, _PATH: path}

    def group_of(self, row: int) -> int:
        """Return the number of the group that contains a row."""
        return next(number for number, first in enumerate(self.first_rows[1:]) if row < first)

    def contents(self, group: int) -> Any:
        """Return the bytes of the images of a group of rows, as an Arrow array with one element per row."""
        if self._group_bytes[group] > MAX_GROUP_BYTES:
            raise ShardError(
                f"has {size(self._group_bytes[group])} of images in one group of rows, at most"
                f" {size(MAX_GROUP_BYTES)} are read"
            )
        with _errors():
            # As a dictionary, so that content that is stored once and repeated a million times is in memory once.
            file = self._open([f"{self.column}.{_BYTES}"])
            table = file.read_row_group(group, columns=[f"{self.column}.{_BYTES}"])
            table.validate(full=True)
            return table.column(self.column)

    def _open(self, dictionaries: Sequence[str] = ()) -> Any:
        try:
            from pyarrow import parquet
        except ImportError as error:
            text = f"{self._stored.name} needs pyarrow; install it, or this package with the extra parquet"
            raise DatasetError(text) from error
        file = RangeFile(self._store, self._stored, buffer_bytes=64 * 1024)
        with _errors():
            return parquet.ParquetFile(file, read_dictionary=list(dictionaries))


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

    def content(self, stored: StoredObject, row: int) -> memoryview | None:
        """Return the image of a row, None if the row has none. Raise ShardError or DatasetError."""
        shard = self.shard(stored)
        if not 0 <= row < shard.rows_total:
            raise ShardError(f"has no row {row}")
        group = shard.group_of(row)
        key = stored.name, stored.identity, group
        column = self._once(self._groups, key, _KEPT_GROUPS, lambda: shard.contents(group))
        value = column[row - shard.first_rows[group]][_BYTES]
        return memoryview(value.value.as_buffer()) if value.is_valid and value.value.is_valid else None

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
    footer = int.from_bytes(end[:4], "little")
    if footer > MAX_FOOTER_BYTES:
        raise ShardError(f"has a footer of {size(footer)}, at most {size(MAX_FOOTER_BYTES)} are read")


def _image_column(schema: Any) -> str:
    from pyarrow import types

    found = [
        one.name
        for one in schema
        if types.is_struct(one.type)
        and {one.type.field(number).name for number in range(one.type.num_fields)} == {_BYTES, _PATH}
    ]
    if len(found) != 1:
        raise ShardError(f"has {len(found) or 'no'} column{'s' * (len(found) > 1)} of {{bytes, path}}, expected one")
    return str(found[0])


def _content_bytes(group: Any, path: str) -> int:
    columns = (group.column(number) for number in range(group.num_columns))
    return sum(column.total_uncompressed_size for column in columns if column.path_in_schema == path)


def _is_cell(of_type: Any) -> bool:
    try:
        is_text(of_type)
    except ManifestError:
        return False
    return True


def _label_names(schema: Any) -> Mapping[str, Sequence[str]]:
    """Return the names of the class labels by column, from the metadata that Hugging Face writes."""
    try:
        features = json.loads((schema.metadata or {}).get(b"huggingface", b"{}"))["info"]["features"]
        return {name: one["names"] for name, one in features.items() if one.get("_type") == "ClassLabel"}
    except (KeyError, TypeError, AttributeError, ValueError, RecursionError):
        return {}


def _named(names: Sequence[str] | None, value: object) -> object:
    if isinstance(names, list) and type(value) is int and 0 <= value < len(names):
        return names[value]
    return value
