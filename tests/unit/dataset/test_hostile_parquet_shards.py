"""Parquet shards that state another size than they have: one clear error before memory is allocated."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any, Literal

import pyarrow as arrow
import pytest
from pyarrow import parquet

from starlight_exporter.dataset.manifest_rows import ManifestError, manifest_rows
from starlight_exporter.dataset.sources import parquet_pages, parquet_shards
from starlight_exporter.dataset.sources.opening import open_source
from starlight_exporter.dataset.sources.parquet_pages import PageError, uncompressed_bytes
from starlight_exporter.errors import DatasetError, ImageError
from support.packed import MAX_BYTES

IMAGE = arrow.struct([("bytes", arrow.binary()), ("path", arrow.string())])
DATA, DICTIONARY = 0, 2


def varint(value: int) -> bytes:
    """Return an integer in zigzag encoding."""
    left, data = value << 1 ^ value >> 63, bytearray()
    while left > 0x7F:
        data.append(left & 0x7F | 0x80)
        left >>= 7
    return bytes([*data, left])


def page(kind: int, uncompressed: int, values: int, *, encoding: int = 0, content: bytes = b"") -> bytes:
    """Return a page of a column."""
    fields = b"".join(b"\x15" + varint(value) for value in (kind, uncompressed, len(content)))
    details = b"\x15" + varint(values) + b"\x15" + varint(encoding) + b"\x00"
    return fields + (b"\x2c" if kind == DATA else b"\x4c") + details + b"\x00" + content


def test_size_of_a_column_is_that_of_its_pages() -> None:
    chunk = page(DICTIONARY, 1000, 5, content=b"1234") + page(DATA, 2_000_000_000, 7) + page(DATA, 3, 2)
    assert uncompressed_bytes(chunk, values=9) == 2_000_001_003
    assert uncompressed_bytes(chunk + b"more", values=9) == 2_000_001_003


@pytest.mark.parametrize(
    ("chunk", "reason"),
    [
        (page(DATA, 3, 2**31 - 1), "pages with 2147483647 values, expected 9"),
        (page(DICTIONARY, 1000, 2**31 - 1) + page(DATA, 3, 9), "a dictionary of 2147483647 values for 9 values"),
        (page(DATA, -1, 9), "a page of negative size"),
        (page(DATA, 3, 9, encoding=7), "the encoding DELTA_BYTE_ARRAY, which is not supported"),
        (page(DATA, 3, 0) * 20, "pages without values"),
        (page(DATA, 3, 8), "no header of a page at byte"),
        (b"\x19" * 1000, "a header with nested structures"),
        (b"\x1c" * 1000, "a header with nested structures"),
        (b"\x15" + b"\xff" * 20, "a header with a number of more than 64 bits"),
        (b"\x1b\x00", "a header with a value of type 11"),
        (b"\x18\xff\xff\xff\xff\x0f", "no header of a page at byte 0"),
        (b"", "no header of a page at byte 0"),
    ],
)
def test_damaged_pages_are_rejected(chunk: bytes, reason: str) -> None:
    with pytest.raises(PageError, match=f"^{reason}"):
        uncompressed_bytes(chunk, values=9)


def write_images(path: Path, values: list[bytes | None], **options: Any) -> None:
    images = arrow.array([{"bytes": value, "path": "a.png"} for value in values], IMAGE)
    parquet.write_table(arrow.table({"image": images}), path, **options)


def state_false_size(path: Path) -> None:
    """State one byte as the uncompressed size of the images in the footer of a shard."""
    data = path.read_bytes()
    (length,) = struct.unpack("<I", data[-8:-4])
    footer = data[-8 - length : -8]
    stated = varint(parquet.ParquetFile(path).metadata.row_group(0).column(0).total_uncompressed_size)
    assert footer.count(stated) >= 1
    # The same number of bytes, with leading zeros.
    false = b"\x82" + b"\x80" * (len(stated) - 2) + b"\x00"
    path.write_bytes(data[: -8 - length] + footer.replace(stated, false) + data[-8:])


@pytest.mark.parametrize("codec", ["snappy", "zstd"])
def test_images_that_are_larger_than_the_footer_states_are_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, codec: str
) -> None:
    monkeypatch.setattr(parquet_shards, "MAX_GROUP_BYTES", 100_000)
    write_images(tmp_path / "a.parquet", [bytes(120_000), b"1"], compression=codec, use_dictionary=False)
    state_false_size(tmp_path / "a.parquet")
    assert parquet.ParquetFile(tmp_path / "a.parquet").metadata.row_group(0).column(0).total_uncompressed_size == 1
    source = open_source(tmp_path)
    reads = list(source.read_shard(list(source.unlabelled_files()), max_bytes=MAX_BYTES))
    reasons = {str(data) for _, data in reads if isinstance(data, ImageError)}
    assert len(reads) == 2
    assert reasons == {"a.parquet has 117.2 KiB in one group of rows, at most 97.7 KiB are read"}


def test_large_footers_are_rejected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet_pages, "MAX_FOOTER_BYTES", 100)
    write_images(tmp_path / "a.parquet", [b"1"])
    with pytest.raises(DatasetError, match=r"a\.parquet has a footer of [\d.]+ bytes, at most 100 bytes are read"):
        open_source(tmp_path).unlabelled_files()
    with pytest.raises(ManifestError, match="has a footer of"):
        list(manifest_rows("labels.parquet", (tmp_path / "a.parquet").read_bytes()))


def test_groups_of_too_many_rows_are_rejected(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Rows without a value take no space in a file.
    monkeypatch.setattr(parquet_shards, "MAX_GROUP_ROWS", 1000)
    write_images(tmp_path / "a.parquet", [None] * 1001)
    with pytest.raises(DatasetError, match=r"a\.parquet has 1001 rows in one group, at most 1000 are read"):
        open_source(tmp_path).unlabelled_files()


def test_encoding_of_unknown_size_is_rejected(tmp_path: Path) -> None:
    options = {"column_encoding": {"image.bytes": "DELTA_BYTE_ARRAY", "image.path": "PLAIN"}, "use_dictionary": False}
    write_images(tmp_path / "a.parquet", [b"1"], **options)
    source = open_source(tmp_path)
    (found,) = source.unlabelled_files()
    with pytest.raises(ImageError, match=r"a\.parquet cannot be read: the encoding DELTA_BYTE_ARRAY"):
        source.read(found, max_bytes=MAX_BYTES)


@pytest.mark.parametrize("version", ["1.0", "2.0"])
@pytest.mark.parametrize("codec", ["none", "snappy", "zstd", "gzip"])
@pytest.mark.parametrize("use_dictionary", [True, False])
def test_pages_of_all_kinds_are_read(
    tmp_path: Path, version: Literal["1.0", "2.0"], codec: str, use_dictionary: bool
) -> None:
    values = [b"%d" % (number % 7) * number for number in range(1, 40)]
    options = {"compression": codec, "use_dictionary": use_dictionary, "row_group_size": 16, "data_page_size": 64}
    write_images(tmp_path / "a.parquet", [*values, None], data_page_version=version, **options)
    source = open_source(tmp_path)
    reads = [data for _, data in source.read_shard(list(source.unlabelled_files()), max_bytes=MAX_BYTES)]
    assert reads[:-1] == values
    assert str(reads[-1]) == "has no bytes"


def test_manifest_that_is_larger_than_its_footer_states_is_rejected(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("starlight_exporter.dataset.manifest_rows._MAX_PARQUET_BYTES", 100_000)
    paths = [f"{number:04d}" * 10 for number in range(5000)]
    table = arrow.table({"path": paths, "class": ["clean"] * len(paths)})
    parquet.write_table(table, tmp_path / "labels.parquet", use_dictionary=False)
    state_false_size(tmp_path / "labels.parquet")
    with pytest.raises(ManifestError, match=r"has more than 97\.7 KiB of uncompressed data"):
        list(manifest_rows("labels.parquet", (tmp_path / "labels.parquet").read_bytes()))
