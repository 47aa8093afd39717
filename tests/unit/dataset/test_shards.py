"""Datasets of tar and Parquet shards: the same files and labels as the folder that they were packed from."""

from __future__ import annotations

import io
import json
import pickle
import shutil
import tarfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as arrow
import pytest
from pyarrow import parquet

from starlight_exporter.dataset.sources.opening import open_source
from starlight_exporter.dataset.sources.packing import ShardFormat, pack
from starlight_exporter.dataset.sources.store import LocalStore, StoredObject
from starlight_exporter.dataset.sources.stored import StoreSource
from starlight_exporter.errors import DatasetError, ImageError, StarlightError, TooLargeError
from support.images import image_bytes
from support.packed import MAX_BYTES, contents, write_dataset

FORMATS: tuple[ShardFormat, ...] = ("tar", "parquet")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a dataset of 36 files in class folders."""
    return write_dataset(tmp_path_factory.mktemp("folder"))


@pytest.fixture(scope="module", params=FORMATS)
def shards(request: pytest.FixtureRequest, folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the dataset as shards of 10 files."""
    out = tmp_path_factory.mktemp("packed") / "shards"
    assert pack(folder, out, request.param, shard_files=10) == 4
    return out


def write_tar(path: Path, files: dict[str, bytes], *, links: dict[str, str] | None = None) -> None:
    with tarfile.open(path, "w") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
        for name, target in (links or {}).items():
            member = tarfile.TarInfo(name)
            member.type, member.linkname = tarfile.SYMTYPE, target
            archive.addfile(member)


def write_parquet(path: Path, rows: list[dict[str, Any]], *, label_names: list[str] | None = None) -> None:
    image = arrow.struct([("bytes", arrow.binary()), ("path", arrow.string())])
    labels = [row["label"] for row in rows]
    table = arrow.table({"image": arrow.array([row["image"] for row in rows], image), "label": arrow.array(labels)})
    if label_names is not None:
        features = {"label": {"names": label_names, "_type": "ClassLabel"}}
        table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    parquet.write_table(table, path, row_group_size=3)


def image_row(number: int, label: object, name: str | None = None) -> dict[str, Any]:
    return {"image": {"bytes": image_bytes(number, size=(8, 8)), "path": name}, "label": label}


def test_packed_dataset_has_the_files_labels_and_contents_of_the_folder(folder: Path, shards: Path) -> None:
    assert contents(shards) == contents(folder)
    assert len(contents(shards)) == 36


def test_packing_twice_gives_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        pack(folder, tmp_path / name, "tar", shard_files=10)
    first, second = ({file.name: file.read_bytes() for file in (tmp_path / name).iterdir()} for name in ("one", "two"))
    assert first == second
    assert sorted(first) == ["labels.csv", *(f"shard-{number:06d}.tar" for number in range(4))]


def test_shards_can_be_packed_again(shards: Path, tmp_path: Path) -> None:
    pack(shards, tmp_path / "again", "tar")
    assert contents(tmp_path / "again") == contents(shards)


def test_listing_reads_no_image(shards: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = open_source(shards)
    read = []
    start = source._store.start  # type: ignore[attr-defined]

    def recorded(name: str, at: int, size: int, identity: str | None) -> Any:
        read.append(name)
        return start(name, at, size, identity)

    monkeypatch.setattr(source._store, "start", recorded)  # type: ignore[attr-defined]
    assert len(source.labelled_files().found) == 36
    assert read == ["labels.csv"]


def test_listing_is_in_the_order_of_the_shards(shards: Path) -> None:
    found = open_source(shards).labelled_files().found
    places = [(one.shard, one.offset) for one in found]
    assert places == sorted(places)
    assert [one.path for one in found] == sorted(one.path for one in found)


def test_rows_of_a_manifest_may_be_in_any_order(shards: Path, folder: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(shards, tmp_path / "copy"))
    head, *rows = (shards / "labels.csv").read_text().splitlines()
    (copy / "labels.csv").write_text("\n".join([head, *reversed(rows)]) + "\n")
    listed = open_source(copy).labelled_files()
    expected = open_source(shards).labelled_files()
    assert [(one.path, one.shard, one.offset) for one in listed.found] == [
        (one.path, one.shard, one.offset) for one in expected.found
    ]
    assert list(map(listed.labels_of, listed.found)) == list(map(expected.labels_of, expected.found))
    assert contents(copy) == contents(folder)


@pytest.mark.parametrize(
    ("cells", "problem"),
    [(("", "", ""), "has the shard of some files, not of"), (("", "0", "1"), "shard must be the name of a tar")],
)
def test_manifest_states_all_places_or_none(
    folder: Path, tmp_path: Path, cells: tuple[str, str, str], problem: str
) -> None:
    pack(folder, tmp_path / "out", "tar")
    manifest = tmp_path / "out" / "labels.csv"
    head, first, *rows = manifest.read_text().splitlines()
    changed = ",".join([*first.split(",")[:-3], *cells])
    manifest.write_text("\n".join([head, *rows, changed]) + "\n")
    with pytest.raises(DatasetError, match=problem):
        open_source(tmp_path / "out").labelled_files()


def test_ignored_name_is_not_found_in_shards(tmp_path: Path) -> None:
    # As in a folder with the same manifest.
    image = image_bytes(0, size=(8, 8))
    write_tar(tmp_path / "a.tar", {"one.png": image, ".two.png": image})
    with tarfile.open(tmp_path / "a.tar") as archive:
        rows = [f"{one.name},clean,a.tar,{one.offset_data},{one.size}" for one in archive]
    (tmp_path / "labels.csv").write_text("\n".join(["path,class,shard,offset,size_bytes", *rows]) + "\n")
    found = open_source(tmp_path).labelled_files().found
    assert [one.problem for one in found] == [None, "is listed in labels.csv, but was not found"]


def test_single_file_is_read_from_its_place_without_a_listing(shards: Path, folder: Path) -> None:
    found = open_source(shards).labelled_files().found
    other = pickle.loads(pickle.dumps(open_source(shards)))
    for one in (found[0], found[17], found[35]):
        assert other.read(one, max_bytes=MAX_BYTES) == (folder / one.path).read_bytes()


def test_file_is_found_by_its_path(shards: Path, folder: Path) -> None:
    source = open_source(shards)
    found = source.find("stego/lsb/text_lsb_003.png")
    assert found is not None
    assert source.read(found, max_bytes=MAX_BYTES) == (folder / found.path).read_bytes()
    assert source.find("stego/lsb/other.png") is None


def test_large_file_is_refused_with_its_size_and_first_bytes(shards: Path) -> None:
    source = open_source(shards)
    found = source.labelled_files().found[5]
    data = source.read(found, max_bytes=MAX_BYTES)
    with pytest.raises(TooLargeError) as error:
        source.read(found, max_bytes=len(data) - 1)
    assert (error.value.size_bytes, error.value.start) == (len(data), data[:256])


def test_tar_with_class_folders_and_sidecars_needs_no_manifest(folder: Path, tmp_path: Path) -> None:
    files = {f"./{file.relative_to(folder)}": file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()}
    write_tar(tmp_path / "all.tar", files)
    assert contents(tmp_path) == contents(folder)


def test_parquet_with_class_labels_needs_no_manifest(tmp_path: Path) -> None:
    rows = [image_row(0, 0, "a.png"), image_row(1, 1, "x/b.png"), image_row(2, 1, None), image_row(3, 0, "a.png")]
    write_parquet(tmp_path / "train-00000-of-00001.parquet", rows, label_names=["clean", "LSB"])
    found = contents(tmp_path)
    assert {path: values[:2] for path, values in found.items()} == {
        "train-00000-of-00001/000000-a.png": ("clean", None),
        "train-00000-of-00001/000001-b.png": ("stego", "lsb"),
        "train-00000-of-00001/000002": ("stego", "lsb"),
        "train-00000-of-00001/000003-a.png": ("clean", None),
    }
    assert [values[-1] for values in found.values()] == [row["image"]["bytes"] for row in rows]


def test_numbers_without_names_are_no_labels(tmp_path: Path) -> None:
    write_parquet(tmp_path / "train.parquet", [image_row(0, 1)])
    with pytest.raises(DatasetError, match=r"train\.parquet: row 0: label must be the name of a class"):
        open_source(tmp_path).labelled_files()


def test_shards_without_labels_are_unlabelled_files(tmp_path: Path) -> None:
    write_tar(tmp_path / "a.tar", {"x/1.png": image_bytes(1), "x/notes.txt": b"text"})
    found = open_source(tmp_path).unlabelled_files()
    assert [(one.path, one.file_class) for one in found] == [("x/1.png", "unlabelled")]
    assert found.ignored == 1


def test_links_in_a_tar_file_are_not_followed(tmp_path: Path) -> None:
    write_tar(tmp_path / "a.tar", {"clean/1.png": image_bytes(1)}, links={"clean/2.png": "/etc/passwd"})
    problems = {one.path: one.problem for one in open_source(tmp_path).labelled_files().found}
    assert problems == {"clean/1.png": None, "clean/2.png": "is a link in a tar file, which is not followed"}


@pytest.mark.parametrize("name", ["/clean/1.png", "clean/../../1.png", "clean//1.png", "clean/./1.png"])
def test_names_that_lead_out_of_the_dataset_are_rejected(tmp_path: Path, name: str) -> None:
    write_tar(tmp_path / "a.tar", {name: image_bytes(1)})
    with pytest.raises(DatasetError, match=r"a\.tar has a member .* whose name must be relative"):
        open_source(tmp_path).labelled_files()


def test_equal_names_are_rejected(tmp_path: Path) -> None:
    for shard in ("a.tar", "b.tar"):
        write_tar(tmp_path / shard, {"clean/1.png": image_bytes(1)})
    with pytest.raises(DatasetError, match=r"b\.tar contains 'clean/1\.png', which is in the dataset already"):
        open_source(tmp_path).labelled_files()


@pytest.mark.parametrize("length", [511, 512, 700, 1024])
def test_truncated_tar_is_rejected(tmp_path: Path, length: int) -> None:
    write_tar(tmp_path / "a.tar", {"clean/1.png": b"x" * 512, "clean/2.png": b"y" * 512})
    data = (tmp_path / "a.tar").read_bytes()
    (tmp_path / "a.tar").write_bytes(data[:length])
    with pytest.raises(DatasetError, match=r"a\.tar is (damaged|truncated)"):
        open_source(tmp_path).labelled_files()


def test_damaged_header_is_no_end_of_the_archive(tmp_path: Path) -> None:
    write_tar(tmp_path / "a.tar", {"clean/1.png": b"x" * 512, "clean/2.png": b"y" * 512})
    data = bytearray((tmp_path / "a.tar").read_bytes())
    data[1024:1124] = b"z" * 100
    (tmp_path / "a.tar").write_bytes(data)
    with pytest.raises(DatasetError, match=r"a\.tar is damaged: no header at byte 1024"):
        open_source(tmp_path).labelled_files()


def test_large_extended_header_is_rejected(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w", format=tarfile.PAX_FORMAT) as archive:
        member = tarfile.TarInfo("clean/1.png")
        member.pax_headers = {"comment": "x" * 2 * 1024 * 1024}
        archive.addfile(member)
    with pytest.raises(DatasetError, match=r"a\.tar has a header of more than 1048576 bytes"):
        open_source(tmp_path).labelled_files()


@pytest.mark.parametrize("length", [3, 8, 100, -1])
def test_truncated_parquet_is_rejected(tmp_path: Path, length: int) -> None:
    write_parquet(tmp_path / "a.parquet", [image_row(0, "clean")])
    data = (tmp_path / "a.parquet").read_bytes()
    (tmp_path / "a.parquet").write_bytes(data[:length])
    with pytest.raises(DatasetError, match=r"a\.parquet is truncated, or no Parquet file"):
        open_source(tmp_path).labelled_files()


def test_parquet_without_images_is_rejected(tmp_path: Path) -> None:
    parquet.write_table(arrow.table({"label": ["clean"]}), tmp_path / "a.parquet")
    with pytest.raises(DatasetError, match=r"a\.parquet has no column of \{bytes, path\}, expected one"):
        open_source(tmp_path).labelled_files()


def test_damaged_row_costs_the_rows_of_its_group(tmp_path: Path) -> None:
    write_parquet(tmp_path / "a.parquet", [image_row(number, "clean") for number in range(6)])
    data = bytearray((tmp_path / "a.parquet").read_bytes())
    # The header of the first page.
    data[4:20] = b"\xff" * 16
    (tmp_path / "a.parquet").write_bytes(data)
    read = [isinstance(values[-1], str) for values in contents(tmp_path).values()]
    assert read == [True] * 3 + [False] * 3


def test_shard_that_the_manifest_names_must_exist(folder: Path, tmp_path: Path) -> None:
    pack(folder, tmp_path / "out", "tar", shard_files=10)
    (tmp_path / "out" / "shard-000002.tar").unlink()
    with pytest.raises(DatasetError, match=r"shard-000002\.tar, which labels\.csv names, is missing"):
        open_source(tmp_path / "out").labelled_files()


def test_shard_that_is_shorter_than_the_manifest_states_is_truncated(folder: Path, tmp_path: Path) -> None:
    pack(folder, tmp_path / "out", "tar", shard_files=10)
    shard = tmp_path / "out" / "shard-000002.tar"
    shard.write_bytes(shard.read_bytes()[:5000])
    with pytest.raises(DatasetError, match=r"shard-000002\.tar is truncated: labels\.csv names byte \d+ of 5000"):
        open_source(tmp_path / "out").labelled_files()


@pytest.mark.parametrize("place", ["4611686018427387904,4611686018427387904", "9223372036854775807,10"])
def test_places_whose_end_is_no_64_bit_integer_are_beyond_the_shard(folder: Path, tmp_path: Path, place: str) -> None:
    pack(folder, tmp_path / "out", "tar")
    manifest = tmp_path / "out" / "labels.csv"
    head, first, *rows = manifest.read_text().splitlines()
    changed = f"{first.rpartition(',')[0].rpartition(',')[0]},{place}"
    manifest.write_text("\n".join([head, *rows, changed]) + "\n")
    with pytest.raises(DatasetError, match="is truncated"):
        open_source(tmp_path / "out").labelled_files()


def test_digest_of_a_listing_changes_with_the_manifest_and_the_sizes_of_shards(folder: Path, tmp_path: Path) -> None:
    # Some servers state neither an ETag nor a time of their objects.
    class Anonymous(LocalStore):
        def objects(self) -> Sequence[StoredObject]:
            return [replace(one, identity=None) for one in super().objects()]

    out = tmp_path / "out"
    pack(folder, out, "tar")

    def digest() -> str:
        return StoreSource(Anonymous(out)).labelled_files().found.digest

    digests = [digest()]
    manifest, shard = out / "labels.csv", out / "shard-000000.tar"
    manifest.write_text(manifest.read_text().replace(",lsb,", ",eoi,", 1))
    digests.append(digest())
    shard.write_bytes(shard.read_bytes() + bytes(512))
    digests.append(digest())
    assert len(set(digests)) == 3


def test_shard_that_changes_after_the_listing_is_not_read(folder: Path, tmp_path: Path) -> None:
    pack(folder, tmp_path / "out", "tar", shard_files=10)
    source = open_source(tmp_path / "out")
    found = source.labelled_files().found
    shard = tmp_path / "out" / "shard-000000.tar"
    shard.write_bytes(shard.read_bytes())
    with pytest.raises(ImageError, match="changed since the dataset was listed"):
        source.read(found[0], max_bytes=MAX_BYTES)
    assert source.read(found[20], max_bytes=MAX_BYTES)


@pytest.mark.parametrize("shard_format", FORMATS)
def test_unreadable_file_is_not_packed(tmp_path: Path, shard_format: ShardFormat) -> None:
    root = write_dataset(tmp_path / "root", images=2)
    (root / "clean/camera/link.png").symlink_to("/etc/hostname")
    with pytest.raises(StarlightError, match=r"cannot be packed: clean/camera/link\.png"):
        pack(root, tmp_path / "out", shard_format)
    assert [one.name for one in tmp_path.iterdir()] == ["root"]


def test_folder_with_files_is_not_replaced(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DatasetError, match="is not empty"):
        pack(folder, tmp_path, "tar")
