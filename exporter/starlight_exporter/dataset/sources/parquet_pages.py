"""How much memory a Parquet file takes, before Arrow reads it: its footer, and the headers of the pages of its columns.

Arrow allocates what the header of each page states, whatever the footer of the file states about the whole column. The
headers are structures of Thrift's compact protocol, as specified in parquet-format (parquet.thrift, PageHeader).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from starlight_exporter.formatting import size

_DATA, _DICTIONARY, _DATA_V2 = 0, 2, 3
"""Types of pages; others are ignored."""
_DETAILS: Final = {_DATA: 5, _DICTIONARY: 7, _DATA_V2: 8}
"""Fields of a header with details of a page, by its type."""
_DELTA_BYTE_ARRAY: Final = 7
"""Encoding in which each text repeats the start of the one before it: its size is known only after decoding."""
_MAX_DEPTH: Final = 8
_TRUE, _FALSE, _BYTE, _DOUBLE, _BINARY, _LIST, _SET, _STRUCT = 1, 2, 3, 7, 8, 9, 10, 12
_INTEGERS: Final = (4, 5, 6)


MAX_FOOTER_BYTES: Final = 8 * 1024 * 1024
"""In memory, a footer can take 240 times as much (measured with pyarrow 26)."""


class PageError(ValueError):
    """Pages of a column are damaged or have an encoding whose size is unknown, or the footer is too large."""


def require_small_footer(end: bytes) -> None:
    """Raise PageError if the last eight bytes of a file state a footer of more than MAX_FOOTER_BYTES."""
    footer = int.from_bytes(end[:4], "little")
    if footer > MAX_FOOTER_BYTES:
        raise PageError(f"has a footer of {size(footer)}, at most {size(MAX_FOOTER_BYTES)} are read")


def uncompressed_bytes(chunk: bytes | memoryview, *, values: int) -> int:
    """Return the size of all pages of a column chunk with this number of values, as their headers state it.

    Raise PageError if the headers are damaged or do not have this number of values. The content of the pages is not
    read; a decoder that gets less than the stated size reports it.
    """
    total, seen, at, pages = 0, 0, 0, 0
    while seen < values:
        pages += 1
        if pages > values + 2:
            raise PageError("pages without values")
        page, start = _page(chunk, at)
        total += max(page.uncompressed, page.compressed)
        at = start + page.compressed
        if page.kind == _DICTIONARY and page.values > values:
            raise PageError(f"a dictionary of {page.values} values for {values} values")
        if page.kind in (_DATA, _DATA_V2):
            seen += page.values
    if seen != values:
        raise PageError(f"pages with {seen} values, expected {values}")
    return total


def chunk_range(column: Any, file_bytes: int) -> tuple[int, int]:
    """Return start and length of a column chunk in a file, as Arrow reads it, from Arrow's metadata.

    Raise PageError if it is not in the file.
    """
    start, length = column.data_page_offset, column.total_compressed_size
    if column.has_dictionary_page and 0 < column.dictionary_page_offset < start:
        start = column.dictionary_page_offset
    if start < 0 or length < 0 or start + length > file_bytes:
        raise PageError(f"{column.path_in_schema}: {length} bytes from byte {start}, which are not in the file")
    return start, length


@dataclass(frozen=True, slots=True)
class _Page:
    kind: int
    uncompressed: int
    compressed: int
    values: int


def _page(chunk: bytes | memoryview, at: int) -> tuple[_Page, int]:
    """Return the page whose header is at a position, and the position of its content. Raise PageError."""
    reader = _Compact(chunk, at)
    try:
        header = reader.struct()
        kind, uncompressed, compressed = header[1], header[2], header[3]
        details = header[_DETAILS[kind]] if kind in _DETAILS else {}
        values = details.get(1, 0)
        encoding = details.get(4 if kind == _DATA_V2 else 2)
        if min(uncompressed, compressed, values) < 0:
            raise PageError("a page of negative size")
    except (IndexError, KeyError, TypeError, AttributeError) as error:
        raise PageError(f"no header of a page at byte {at}") from error
    if encoding == _DELTA_BYTE_ARRAY:
        raise PageError("the encoding DELTA_BYTE_ARRAY, which is not supported")
    return _Page(kind, uncompressed, compressed, values), reader.at


class _Compact:
    """Reads values of Thrift's compact protocol. Raises IndexError at the end, and PageError for nested structures."""

    def __init__(self, data: bytes | memoryview, at: int) -> None:
        self._data = data
        self.at = at

    def struct(self, depth: int = 0) -> dict[int, Any]:
        """Return the fields of a structure by number."""
        fields: dict[int, Any] = {}
        number = 0
        while (first := self._byte()) != 0:
            step = first >> 4
            number = number + step if step else self._integer()
            fields[number] = self._value(first & 0x0F, depth)
        return fields

    def _value(self, kind: int, depth: int) -> Any:
        if depth > _MAX_DEPTH:
            raise PageError("a header with nested structures")
        if kind in (_TRUE, _FALSE):
            return kind == _TRUE
        if kind == _BYTE:
            return self._byte()
        if kind in _INTEGERS:
            return self._integer()
        if kind in (_DOUBLE, _BINARY):
            return self._skip(8 if kind == _DOUBLE else self._unsigned())
        if kind in (_LIST, _SET):
            first = self._byte()
            count = first >> 4 if first >> 4 != 0x0F else self._unsigned()
            of_kind = first & 0x0F
            # In lists, a boolean is one byte.
            values = (self._value(_BYTE if of_kind in (_TRUE, _FALSE) else of_kind, depth + 1) for _ in range(count))
            return sum(1 for _ in values)
        if kind == _STRUCT:
            return self.struct(depth + 1)
        raise PageError(f"a header with a value of type {kind}")

    def _byte(self) -> int:
        value = self._data[self.at]
        self.at += 1
        return value

    def _unsigned(self) -> int:
        value = 0
        for shift in range(0, 64, 7):
            byte = self._byte()
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
        raise PageError("a header with a number of more than 64 bits")

    def _integer(self) -> int:
        value = self._unsigned()
        return (value >> 1) ^ -(value & 1)

    def _skip(self, length: int) -> None:
        if length > len(self._data) - self.at:
            raise IndexError
        self.at += length
