"""Read the rows of a label manifest in its three formats; the content of a cell is not checked here.

labels.csv       a header, then one line per file (RFC 4180, UTF-8, with or without BOM)
labels.jsonl     one JSON object per line
labels.parquet   one row per file; requires pyarrow

Metadata of ImageFolder (metadata.csv, metadata.jsonl) have the first two formats, and any columns.
"""

from __future__ import annotations

import codecs
import csv
import io
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from starlight_exporter.dataset.ignored import METADATA_NAMES
from starlight_exporter.dataset.sources.parquet_pages import chunk_range, require_small_footer, uncompressed_bytes
from starlight_exporter.errors import DatasetError
from starlight_exporter.formatting import size

PLACE_COLUMNS: Final = ("shard", "offset", "size_bytes")
"""Columns that state where a file is in a dataset of shards."""
COLUMNS: Final = (
    *("path", "class", "method", "category", "cover", "source"),
    *("payload_bytes", "bit_order", "reaches_crop"),
)
ALL_COLUMNS: Final = (*COLUMNS, *PLACE_COLUMNS)
REQUIRED: Final = ("path", "class")
FILE_NAME: Final = "file_name"
"""Required column of the metadata of ImageFolder."""
MAX_ROWS: Final = 1_000_000
_LONGEST_CELL: Final = 4096
"""Bytes of a text in a Parquet file, whose dictionary can repeat a long text a million times."""
_LONGEST_LINE: Final = 128 * 1024
"""Characters of a line of JSON, of which nested arrays take thirty times as many bytes of memory."""
_DECODED_BYTES: Final = 1024 * 1024
_MAX_PARQUET_BYTES: Final = 1024 * 1024 * 1024
_PARQUET_BATCH: Final = 4096


@dataclass(frozen=True, slots=True)
class ManifestRow:
    """One row: `where` is the file and line for messages, `cells` has the columns that are not empty.

    Cells of a CSV file are texts; those of the other formats also integers, booleans or anything else.
    """

    where: str
    cells: Mapping[str, object]


class ManifestError(Exception):
    """A manifest cannot be read; the text is the reason."""


def manifest_rows(name: str, data: bytes) -> Iterator[ManifestRow]:
    """Yield the rows of the manifest `name` with this content. Raise ManifestError if it is damaged.

    Raise DatasetError for a Parquet file if pyarrow is not installed.
    """
    for number, row in enumerate(_READERS[name](name, data)):
        if number == MAX_ROWS:
            raise ManifestError(f"has more than {MAX_ROWS} rows")
        yield row


def _csv_rows(name: str, data: bytes) -> Iterator[ManifestRow]:
    reader = csv.reader(_text(data, newline=""), strict=True)
    try:
        columns = next(reader, [])
        _check_columns(name, columns, complete=True)
        for cells in reader:
            where = f"{name}:{reader.line_num}"
            if not cells:
                continue
            if len(cells) != len(columns):
                raise ManifestError(f"line {reader.line_num}: {len(cells)} cells, expected {len(columns)}")
            yield ManifestRow(where, {column: cell for column, cell in zip(columns, cells, strict=True) if cell})
    except csv.Error as error:
        raise ManifestError(f"line {reader.line_num}: {error}") from error


def _json_rows(name: str, data: bytes) -> Iterator[ManifestRow]:
    # Not splitlines: it also splits at characters that JSON permits in texts.
    for number, line in enumerate(_text(data, newline="\n"), 1):
        if not line.strip():
            continue
        if len(line) > _LONGEST_LINE:
            raise ManifestError(f"line {number}: longer than {_LONGEST_LINE} characters")
        try:
            content = json.loads(line, object_pairs_hook=_unique)
        except (ValueError, RecursionError) as error:
            raise ManifestError(f"line {number}: {error}") from error
        if not isinstance(content, dict):
            raise ManifestError(f"line {number}: expected an object")
        _check_columns(name, list(content), complete=False, where=f"line {number}: ")
        yield ManifestRow(f"{name}:{number}", {key: cell for key, cell in content.items() if cell not in (None, "")})


def _parquet_rows(name: str, data: bytes) -> Iterator[ManifestRow]:
    try:
        import pyarrow as arrow
        from pyarrow import parquet
    except ImportError as error:
        raise DatasetError(f"{name} needs pyarrow; install it, or this package with the extra parquet") from error
    try:
        require_small_footer(data[-8:])
        schema = parquet.read_schema(arrow.BufferReader(data))
        _check_columns(name, schema.names, complete=True)
        texts = [field.name for field in schema if is_text(field.type)]
        # Texts as dictionaries, so that they are only copied once their length is checked.
        file = parquet.ParquetFile(arrow.BufferReader(data), read_dictionary=texts)
        groups = [file.metadata.row_group(number) for number in range(file.metadata.num_row_groups)]
        if sum(group.num_rows for group in groups) > MAX_ROWS:
            raise ManifestError(f"has more than {MAX_ROWS} rows")
        if sum(_uncompressed_bytes(group, data) for group in groups) > _MAX_PARQUET_BYTES:
            raise ManifestError(f"has more than {size(_MAX_PARQUET_BYTES)} of uncompressed data")
        number = 0
        for batch in file.iter_batches(batch_size=_PARQUET_BATCH):
            # The indices of a damaged file may lead out of its dictionary.
            batch.validate(full=True)
            for row in zip(*(column_values(column) for column in batch.columns), strict=True):
                number += 1
                cells = zip(schema.names, row, strict=True)
                yield ManifestRow(f"{name}: row {number}", {key: cell for key, cell in cells if cell not in (None, "")})
    # Arrow raises its own errors, OSError and ValueError (UnicodeDecodeError) for damaged files.
    except (arrow.ArrowException, OSError, ValueError) as error:
        raise ManifestError(" ".join(str(error).split())[:200]) from error


def _uncompressed_bytes(group: Any, data: bytes) -> int:
    """Return the size of a group of rows in memory, from its pages: that in the footer of the file may be false."""
    places = [chunk_range(group.column(number), len(data)) for number in range(group.num_columns)]
    chunks = (memoryview(data)[start : start + length] for start, length in places)
    return sum(uncompressed_bytes(chunk, values=group.num_rows) for chunk in chunks)


def is_text(of_type: Any) -> bool:
    """Return whether a column of an Arrow type has texts. Raise ManifestError unless these, numbers or booleans."""
    from pyarrow import types

    if types.is_dictionary(of_type):
        of_type = of_type.value_type
    if types.is_string(of_type) or types.is_large_string(of_type):
        return True
    if types.is_integer(of_type) or types.is_boolean(of_type) or types.is_null(of_type):
        return False
    raise ManifestError(f"a column has the type {of_type}; expected text, integer or boolean")


def column_values(column: Any) -> list[object]:
    """Return the values of an Arrow array; equal texts are one object. Raise ManifestError for a text too long."""
    import pyarrow as arrow

    if arrow.types.is_dictionary(column.type):
        texts = column.dictionary.cast(arrow.large_binary())
        if max((len(text) for text in texts.to_pylist() if text is not None), default=0) > _LONGEST_CELL:
            raise ManifestError(f"a text is longer than {_LONGEST_CELL} bytes")
        # A small file can repeat a long text a million times: copies of it would exceed the memory limit.
        distinct = column.dictionary.to_pylist()
        return [None if index is None else distinct[index] for index in column.indices.to_pylist()]
    values: list[object] = column.to_pylist()
    return values


_READERS: Final[Mapping[str, Callable[[str, bytes], Iterator[ManifestRow]]]] = {
    "labels.csv": _csv_rows,
    "labels.jsonl": _json_rows,
    "labels.parquet": _parquet_rows,
    "metadata.csv": _csv_rows,
    "metadata.jsonl": _json_rows,
}


def _text(data: bytes, *, newline: str) -> io.TextIOWrapper:
    """Return a manifest as text, which is decoded while it is read. Raise ManifestError if it is not UTF-8."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    for start in range(0, len(data), _DECODED_BYTES):
        pending = len(decoder.getstate()[0])
        try:
            decoder.decode(data[start : start + _DECODED_BYTES], final=start + _DECODED_BYTES >= len(data))
        except UnicodeDecodeError as error:
            raise ManifestError(f"is not UTF-8 (byte {start - pending + error.start})") from error
    return io.TextIOWrapper(io.BytesIO(data), encoding="utf-8-sig", newline=newline)


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    content = dict(pairs)
    if len(content) != len(pairs):
        raise ValueError("an object has a key twice")
    return content


def _check_columns(name: str, columns: Sequence[str], *, complete: bool, where: str = "") -> None:
    """Raise ManifestError for unknown and repeated columns, and if `complete` for missing ones."""
    is_metadata = name in METADATA_NAMES
    unknown = [column for column in columns if column not in ALL_COLUMNS]
    if unknown and not is_metadata:
        raise ManifestError(f"{where}unknown column {unknown[0][:40]!r}; expected {', '.join(COLUMNS)}")
    if len(set(columns)) != len(columns):
        raise ManifestError(f"{where}a column occurs twice")
    required = (FILE_NAME,) if is_metadata else REQUIRED
    missing = [column for column in required if complete and column not in columns]
    if missing:
        raise ManifestError(f"{where}no column {missing[0]!r}")
