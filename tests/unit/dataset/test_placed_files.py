"""A label manifest of older shards: files at other places are not measured, because their labels would be wrong."""

from __future__ import annotations

import io
import shutil
import subprocess
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from starlight_exporter.dataset.sources.opening import open_source
from starlight_exporter.dataset.sources.packing import ShardFormat, pack
from starlight_exporter.dataset.sources.placed import HEADER_BYTES, is_header_of, is_row_of
from starlight_exporter.dataset.sources.root import parse_root
from support.images import image_bytes
from support.packed import MAX_BYTES, contents, write_dataset

LONG = "clean/" + "a" * 60 + "/" + "b" * 60 + ".png"


@pytest.mark.parametrize("shard_format", ["tar", "parquet"])
def test_files_of_a_stale_manifest_are_not_measured(tmp_path: Path, shard_format: ShardFormat) -> None:
    folder = write_dataset(tmp_path / "folder", images=4)
    pack(folder, tmp_path / "old", shard_format)
    (folder / "clean/camera/added.png").write_bytes(image_bytes(9000, size=(16, 16)))
    pack(folder, tmp_path / "new", shard_format)
    mixed = Path(shutil.copytree(tmp_path / "new", tmp_path / "mixed"))
    shutil.copy(tmp_path / "old" / "labels.csv", mixed)
    expected = {path: values[-1] for path, values in contents(tmp_path / "new").items()}
    read = {path: values[-1] for path, values in contents(mixed).items()}
    unit = "byte" if shard_format == "tar" else "row"
    assert len(read) == 12
    for path, content in read.items():
        is_refused = isinstance(content, str) and content.startswith(f"labels.csv names it at {unit} ")
        assert is_refused or content == expected[path]
    refused = [content for content in read.values() if isinstance(content, str)]
    assert len(refused) == 12
    assert refused[0].endswith(f" of shard-000000.{shard_format}, which has another file there")


def test_sampled_files_are_compared_as_well(tmp_path: Path) -> None:
    pack(write_dataset(tmp_path / "folder", images=4), tmp_path / "shards", "tar")
    found = open_source(tmp_path / "shards").labelled_files().found
    assert {one.placed_by for one in type(found).of(found.root, found[3:5])} == {"labels.csv"}


def test_content_at_a_place_is_known_only_for_the_same_path(tmp_path: Path) -> None:
    pack(write_dataset(tmp_path / "folder", images=4), tmp_path / "shards", "tar")
    found = replace(open_source(tmp_path / "shards").labelled_files().found[0], root=parse_root("memory://images"))
    assert found.content_key is not None
    assert found.content_key != replace(found, path="clean/other.png").content_key


@pytest.mark.parametrize("tar_format", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT])
@pytest.mark.parametrize("path", ["clean/a.png", "clean/é-ü.png", "clean/画像1.png", LONG, f"{LONG[:-4]}é.png"])
def test_header_of_every_format_is_that_of_its_file(tmp_path: Path, tar_format: int, path: str) -> None:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w", format=tar_format, encoding="utf-8") as tar:
        member = tarfile.TarInfo(path)
        member.size = 3
        tar.addfile(member, io.BytesIO(b"abc"))
        end = tar.offset - HEADER_BYTES
    check_header(tmp_path, archive.getvalue()[end - HEADER_BYTES : end], path)


@pytest.mark.parametrize("tar_format", ["pax", "gnu", "ustar"])
@pytest.mark.parametrize("path", ["./clean/a.png", "clean/画像1.png", LONG])
def test_header_of_gnu_tar_is_that_of_its_file(tmp_path: Path, tar_format: str, path: str) -> None:
    (tmp_path / path).parent.mkdir(parents=True)
    (tmp_path / path).write_bytes(b"abc")
    command = ["tar", f"--format={tar_format}", "--blocking-factor=1", "-cf", "-", path]
    data = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True).stdout
    at = data.rindex(b"abc\0")
    check_header(tmp_path, data[at - HEADER_BYTES : at], path.removeprefix("./"))


def check_header(folder: Path, header: bytes, path: str) -> None:
    """Check that a block is the header of a file of 3 bytes, and of no other one."""
    pack(write_dataset(folder / "some", images=1), folder / "shards", "tar")
    found = replace(open_source(folder / "shards").labelled_files().found[0], path=path, size_bytes=3)
    assert is_header_of(header, found)
    assert is_header_of(header, replace(found, path=f"test/{path}"))
    assert not is_header_of(header, replace(found, size_bytes=4))
    assert not is_header_of(header, replace(found, path="clean/other.png"))
    assert not is_header_of(header[:20] + b"~" + header[21:], found)
    assert not is_header_of(header[1:], found)
    assert not is_header_of(b"", found)
    assert not is_header_of(bytes(HEADER_BYTES), found)


def test_row_may_have_the_base_name_or_none(tmp_path: Path) -> None:
    pack(write_dataset(tmp_path / "folder", images=1), tmp_path / "shards", "parquet")
    found = open_source(tmp_path / "shards").labelled_files().found[1]
    size = found.size_bytes or 0
    listed = replace(found, path="shard-000000/000001-a.png")
    assert [is_row_of(name, size, listed) for name in ("a.png", "x/a.png", "b.png", "", None)] == [
        True,
        True,
        False,
        True,
        True,
    ]
    assert is_row_of(found.path.rpartition("/")[2], size, found)
    assert not is_row_of(found.path, size + 1, found)


@pytest.mark.parametrize("shard_format", ["tar", "parquet"])
def test_comparison_adds_no_request(tmp_path: Path, shard_format: ShardFormat, monkeypatch: pytest.MonkeyPatch) -> None:
    pack(write_dataset(tmp_path / "folder", images=4), tmp_path / "shards", shard_format)
    source = open_source(tmp_path / "shards")
    found = source.labelled_files().found
    requests = []
    start = source._store.start  # type: ignore[attr-defined]

    def recorded(name: str, at: int, size: int, identity: str | None) -> Any:
        requests.append((at, size))
        return start(name, at, size, identity)

    monkeypatch.setattr(source._store, "start", recorded)  # type: ignore[attr-defined]
    contents_read = [content for _, content in source.read_shard(found[:], max_bytes=MAX_BYTES)]
    assert all(isinstance(content, bytes) for content in contents_read)
    # A Parquet file is opened twice: the last bytes and the footer, and then the content with the paths.
    assert len(requests) == (1 if shard_format == "tar" else 4), requests
