"""Tar and Parquet shards that are made to break the reader: one clear error, no crash, and bounded work."""

from __future__ import annotations

import io
import random
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as arrow
import pytest
from pyarrow import parquet

from starlight_exporter.dataset.sources.opening import open_source
from starlight_exporter.dataset.sources.packing import pack
from starlight_exporter.dataset.sources.store import LocalStore, Pending
from starlight_exporter.dataset.sources.stored import StoreSource
from starlight_exporter.errors import DatasetError, ImageError
from support.packed import MAX_BYTES, write_dataset

IMAGE = arrow.struct([("bytes", arrow.binary()), ("path", arrow.string())])


def nested_headers(member_type: bytes, content: bytes) -> bytes:
    """Return a tar archive with one member, which has 900 extended headers."""
    header = tarfile.TarInfo("header")
    header.type, header.size = member_type, tarfile.BLOCKSIZE
    one = header.tobuf(tarfile.GNU_FORMAT) + content.ljust(tarfile.BLOCKSIZE, b"\0")
    return one * 900 + tarfile.TarInfo("clean/1.png").tobuf() + bytes(2 * tarfile.BLOCKSIZE)


@pytest.mark.parametrize(
    ("member_type", "content"), [(tarfile.XHDTYPE, b"11 a=bcdef\n"), (tarfile.GNUTYPE_LONGNAME, b"clean/1.png")]
)
def test_nested_extended_headers_are_rejected(tmp_path: Path, member_type: bytes, content: bytes) -> None:
    (tmp_path / "a.tar").write_bytes(nested_headers(member_type, content))
    with pytest.raises(DatasetError, match=r"a\.tar is damaged: too many extended headers of one member"):
        open_source(tmp_path).unlabelled_files()


def extended_header(member_type: bytes, content: bytes) -> bytes:
    """Return an extended header with this content."""
    header = tarfile.TarInfo("header")
    header.type, header.size = member_type, len(content)
    return header.tobuf(tarfile.GNU_FORMAT) + content + bytes(-len(content) % tarfile.BLOCKSIZE)


def record(keyword: bytes, value: bytes) -> bytes:
    """Return a record of an extended header."""
    content = b" " + keyword + b"=" + value + b"\n"
    length = len(content) + 1
    while length != len(str(length)) + len(content):
        length += 1
    return str(length).encode() + content


def member(name: str, content: bytes) -> bytes:
    """Return a member of an archive."""
    header = tarfile.TarInfo(name)
    header.size = len(content)
    return header.tobuf() + content + bytes(-len(content) % tarfile.BLOCKSIZE)


END = bytes(2 * tarfile.BLOCKSIZE)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        # Some versions of tarfile need hours for the first one, and 100 GB for the second one.
        (record(b"comment", b"1" * 1_000_000), "has a number of more than 255 digits"),
        (b"5 abc" * 200_000 + b"=", "has no record at byte 0"),
        (record(b"path", b"a.png")[:-1] + b"x", "has no record at byte 0"),
        (record(b"path", b"a.png") + b"\0x", "has no record at byte 14"),
    ],
    ids=["digits", "keywords", "end", "padding"],
)
@pytest.mark.parametrize("member_type", [tarfile.XHDTYPE, tarfile.XGLTYPE])
def test_invalid_extended_headers_are_rejected(tmp_path: Path, member_type: bytes, content: bytes, reason: str) -> None:
    (tmp_path / "a.tar").write_bytes(extended_header(member_type, content) + member("clean/1.png", b"1") + END)
    with pytest.raises(DatasetError, match=rf"a\.tar is damaged: an extended header {reason}"):
        open_source(tmp_path).unlabelled_files()


def test_global_headers_are_limited(tmp_path: Path) -> None:
    parts = [
        extended_header(tarfile.XGLTYPE, record(b"key.%d" % number, b"1")) + member(f"{number}.png", b"1")
        for number in range(101)
    ]
    (tmp_path / "a.tar").write_bytes(b"".join([*parts[:100], END]))
    assert len(open_source(tmp_path).unlabelled_files()) == 100
    (tmp_path / "a.tar").write_bytes(b"".join([*parts, END]))
    with pytest.raises(DatasetError, match=r"a\.tar has global headers of more than 100 records"):
        open_source(tmp_path).unlabelled_files()


@pytest.mark.parametrize("size", ["1000000", "9" * 30])
def test_member_that_ends_after_the_archive_is_rejected(tmp_path: Path, size: str) -> None:
    header = extended_header(tarfile.XGLTYPE, record(b"size", size.encode()))
    (tmp_path / "a.tar").write_bytes(header + member("1.png", b"1") + END)
    with pytest.raises(DatasetError, match=r"a\.tar is damaged: a member ends after the archive"):
        open_source(tmp_path).unlabelled_files()


@pytest.mark.parametrize("tar_format", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT])
def test_global_headers_and_long_names_are_read(tmp_path: Path, tar_format: int) -> None:
    # As `git archive` and GNU tar write them.
    names = [f"{'folder-' * 20}/{'name-' * 20}{number}.png" for number in range(3)]
    with tarfile.open(tmp_path / "a.tar", "w", format=tar_format, pax_headers={"comment": "0123456789abcdef"}) as file:
        for number, name in enumerate(names):
            one = tarfile.TarInfo(name)
            one.size = 10 + number
            file.addfile(one, io.BytesIO(b"%d" % number * one.size))
    source = open_source(tmp_path)
    read = source.read_shard(list(source.unlabelled_files()), max_bytes=MAX_BYTES)
    assert [(found.path, data) for found, data in read] == [
        (name, b"%d" % number * (10 + number)) for number, name in enumerate(names)
    ]


def test_sparse_member_of_any_size_is_not_read(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w", format=tarfile.PAX_FORMAT) as archive:
        sparse = tarfile.TarInfo("clean/1.png")
        sparse.size = 3
        sparse.pax_headers = {"GNU.sparse.size": "9" * 30, "GNU.sparse.numblocks": "1", "GNU.sparse.offset": "1"}
        archive.addfile(sparse, io.BytesIO(b"abc"))
    (found,) = open_source(tmp_path).unlabelled_files()
    assert found.problem == "is a sparse file in a tar file, which is not read"


def write_images(path: Path, values: Sequence[Any], of_type: Any) -> None:
    images = arrow.array([{"bytes": value, "path": "a.png"} for value in values], of_type)
    parquet.write_table(arrow.table({"image": images}), path, row_group_size=8)


@pytest.mark.parametrize(
    ("content_type", "value"), [(arrow.int64(), 5), (arrow.binary(3), b"abc"), (arrow.list_(arrow.uint8()), [1])]
)
def test_images_of_another_type_are_rejected(tmp_path: Path, content_type: Any, value: object) -> None:
    of_type = arrow.struct([("bytes", content_type), ("path", arrow.string())])
    write_images(tmp_path / "a.parquet", [value], of_type)
    with pytest.raises(DatasetError, match=r"a\.parquet has no column of \{bytes, path\}, expected one"):
        open_source(tmp_path).unlabelled_files()


def test_columns_of_the_same_name_are_rejected(tmp_path: Path) -> None:
    table = arrow.Table.from_arrays(
        [arrow.array([{"bytes": b"1", "path": "a.png"}], IMAGE), arrow.array(["clean"]), arrow.array(["stego"])],
        names=["image", "label", "label"],
    )
    parquet.write_table(table, tmp_path / "a.parquet")
    with pytest.raises(DatasetError, match=r"a\.parquet has two columns of the same name"):
        open_source(tmp_path).labelled_files()


class CountingStore(LocalStore):
    """Counts the bytes that are read, and can fail."""

    total = 0
    failure: DatasetError | None = None

    def start(self, name: str, start: int, size: int, identity: str | None) -> Pending:
        """Read, unless there is a failure."""
        if self.failure is not None:
            raise self.failure
        self.total += size
        return super().start(name, start, size, identity)


def test_groups_are_read_once_by_many_readers(tmp_path: Path) -> None:
    readers, rows = 12, 8
    images = [random.Random(number).randbytes(50_000) for number in range(readers * rows)]
    write_images(tmp_path / "a.parquet", images, IMAGE)
    store = CountingStore(tmp_path)
    source = StoreSource(store)
    found = source.unlabelled_files()
    parts = [source.read_shard(found[at : at + rows], max_bytes=MAX_BYTES) for at in range(0, len(found), rows)]
    store.total = 0
    # Every reader reads one row in turn, as threads do.
    read = {file.number: data for files in zip(*parts, strict=True) for file, data in files}
    assert read == dict(enumerate(images))
    assert store.total < 1.5 * (tmp_path / "a.parquet").stat().st_size


def test_failure_of_the_store_is_no_problem_of_images(tmp_path: Path) -> None:
    write_images(tmp_path / "a.parquet", [b"1", b"2"], IMAGE)
    store = CountingStore(tmp_path)
    source = StoreSource(store)
    found = source.unlabelled_files()
    store.failure = DatasetError("access refused: the token has expired")
    with pytest.raises(DatasetError, match="access refused: the token has expired"):
        list(source.read_shard(list(found), max_bytes=MAX_BYTES))


def test_replaced_parquet_shard_has_changed(tmp_path: Path) -> None:
    write_images(tmp_path / "a.parquet", [b"1"], IMAGE)
    (found,) = open_source(tmp_path).unlabelled_files()
    write_images(tmp_path / "a.parquet", [b"2"], IMAGE)
    # Another process lists the dataset again.
    with pytest.raises(ImageError, match=r"a\.parquet changed since the dataset was listed"):
        open_source(tmp_path).read(found, max_bytes=MAX_BYTES)


def test_file_is_not_replaced_by_a_packed_dataset(tmp_path: Path) -> None:
    root = write_dataset(tmp_path / "root", images=1)
    (tmp_path / "out").write_text("notes")
    with pytest.raises(DatasetError, match="out: is no folder"):
        pack(root, tmp_path / "out", "tar")
    assert (tmp_path / "out").read_text() == "notes"


@pytest.mark.parametrize("out", [".", "clean/shards"])
def test_dataset_is_not_packed_into_itself(tmp_path: Path, out: str) -> None:
    root = write_dataset(tmp_path / "root", images=1)
    before = sorted(root.rglob("*"))
    with pytest.raises(DatasetError, match="is inside the dataset"):
        pack(root, root / out, "tar")
    assert sorted(root.rglob("*")) == before


def test_dataset_of_too_many_files_is_not_packed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("starlight_exporter.dataset.sources.packing.MAX_ROWS", 2)
    with pytest.raises(DatasetError, match="has 3 files; a label manifest lists at most 2"):
        pack(write_dataset(tmp_path / "root", images=1), tmp_path / "out", "tar")
