"""Label manifests: the three formats, validation of rows and files, and datasets that are labelled by them."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from starlight_exporter.dataset.dataset import Dataset, LabelledFile
from starlight_exporter.dataset.layout import scan
from starlight_exporter.dataset.listing import list_labelled
from starlight_exporter.dataset.manifest import MAX_MANIFEST_BYTES, Manifest, read_manifest
from starlight_exporter.dataset.manifest_rows import COLUMNS
from starlight_exporter.dataset.sources.opening import open_source
from starlight_exporter.errors import DatasetError
from support.images import image_bytes

Row = Mapping[str, Any]


def csv_manifest(rows: Sequence[Row], columns: Sequence[str] = COLUMNS) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, columns)
    writer.writeheader()
    writer.writerows(
        {key: str(cell).lower() if isinstance(cell, bool) else cell for key, cell in row.items()} for row in rows
    )
    return text.getvalue().encode()


def json_manifest(rows: Sequence[Row]) -> bytes:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


def parquet_manifest(rows: Sequence[Row]) -> bytes:
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    types = {"payload_bytes": arrow.int64(), "reaches_crop": arrow.bool_()}
    schema = arrow.schema([(column, types.get(column, arrow.string())) for column in COLUMNS])
    out = io.BytesIO()
    parquet.write_table(arrow.Table.from_pylist([dict(row) for row in rows], schema=schema), out)
    return out.getvalue()


WRITERS = {"labels.csv": csv_manifest, "labels.jsonl": json_manifest, "labels.parquet": parquet_manifest}

ROWS: tuple[Row, ...] = (
    {"path": "a/one.png", "class": "clean", "source": "camera"},
    {
        **{"path": "a/two.png", "class": "stego", "method": "lsb.rgb", "cover": "a/one.png", "payload_bytes": 12},
        **{"bit_order": "msb-first", "reaches_crop": False},
    },
    {"path": "three.png", "class": "negative", "category": "patterns"},
    {"path": "clean/four.png", "class": "stego", "method": "exif", "cover": "photo 7", "source": "phone"},
)


def write_images(root: Path, rows: Sequence[Row] = ROWS) -> None:
    for seed, row in enumerate(rows):
        path = root / row["path"]
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(image_bytes(seed))


def labelled(root: Path, text: str, *, images: Sequence[Row] = ROWS) -> Dataset:
    write_images(root, images)
    (root / "labels.csv").write_text(text)
    return scan("set", root)


def files_of(dataset: Dataset) -> dict[str, LabelledFile]:
    return {file.path: file for file in dataset.files}


def problem(file: LabelledFile) -> str:
    assert file.problem is not None
    return f"{file.problem.reason}: {file.problem.text}"


@pytest.mark.parametrize("name", WRITERS)
def test_labels_come_from_the_manifest(tmp_path: Path, name: str) -> None:
    write_images(tmp_path)
    # Neither the folder nor the sidecar is read.
    (tmp_path / "clean" / "four.png.json").write_text('{"embedding": {"technique": "alpha"}, "payload_bytes": 99}')
    (tmp_path / name).write_bytes(WRITERS[name](ROWS))
    dataset = scan("set", tmp_path)
    files = files_of(dataset)
    assert [file.problem for file in dataset.files] == [None] * 4
    one, two, three, four = (files[row["path"]] for row in ROWS)
    assert (one.file_class, one.source, one.cover) == ("clean", "camera", None)
    assert (two.file_class, two.method, two.cover, two.payload_bytes) == ("stego", "lsb", "a/one.png", 12)
    # The source is that of the cover.
    assert (two.source, two.bit_order, two.reaches_crop) == ("camera", "msb-first", False)
    assert (three.file_class, three.category, three.source) == ("negative", "patterns", None)
    assert (four.method, four.cover, four.source, four.payload_bytes) == ("exif", "photo 7", "phone", None)
    with open_source(tmp_path) as source:
        assert list_labelled(source).files.ignored == 1


@pytest.mark.parametrize(("cell", "expected"), [("true", True), ("True", True), ("FALSE", False), ("", None)])
def test_booleans_are_read_in_any_case(tmp_path: Path, cell: str, expected: bool | None) -> None:
    dataset = labelled(tmp_path, f"path,class,method,reaches_crop\na/one.png,stego,lsb,{cell}\n", images=ROWS[:1])
    assert (dataset.files[0].reaches_crop, dataset.files[0].problem) == (expected, None)


def test_dataset_without_manifest_is_unchanged(tmp_path: Path) -> None:
    for path in ("clean/camera/one.png", "clean/two.png", "stego/x_lsb_1.png"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(image_bytes(1))
    (tmp_path / "stego" / "x_lsb_1.png.json").write_text(
        '{"clean_file": "camera/one.png", "source": 3, "reaches_crop": true, "payload_bytes": 7}'
    )
    files = files_of(scan("set", tmp_path))
    assert [files[path].source for path in files] == ["camera", None, "camera"]
    stego = files["stego/x_lsb_1.png"]
    assert (stego.cover, stego.reaches_crop, stego.payload_bytes) == ("clean/camera/one.png", True, 7)


def test_file_that_is_not_listed_is_unlabelled(tmp_path: Path) -> None:
    dataset = labelled(tmp_path, "path,class\na/one.png,clean\n", images=ROWS[:2])
    assert problem(files_of(dataset)["a/two.png"]) == "unlabelled: a/two.png: is not listed in labels.csv"


@pytest.mark.parametrize("path", ["nowhere.png", "a", "notes.txt", ".hidden/one.png"])
def test_listed_file_that_is_not_found_is_not_measured(tmp_path: Path, path: str) -> None:
    (tmp_path / ".hidden").mkdir()
    for ignored in (".hidden/one.png", "notes.txt"):
        (tmp_path / ignored).write_bytes(image_bytes(9))
    dataset = labelled(tmp_path, f"path,class\na/one.png,clean\n{path},clean\n", images=ROWS[:1])
    file = files_of(dataset)[path]
    assert file.file_class == "clean"
    assert problem(file) == f"unreadable: {path}: is listed in labels.csv, but was not found"


@pytest.mark.parametrize(
    ("row", "text"),
    [
        ("stego,,,,,,,", "is a stego file without method"),
        ("stego,f5,,,,,,", "unknown method: 'f5'"),
        ("negative,,,,,,,", "is a negative without category"),
        ("clean,lsb,,,,,,", "has a method, but is not stego"),
        ("clean,,,,,12,,", "has a payload_bytes, but is not stego"),
        ("negative,,x,,,,,true", "has a reaches_crop, but is not stego"),
        ("clean,,patterns,,,,,", "has a category, but is no negative"),
        ("negative,,patterns,,camera,,,", "is a negative with a source; negatives have a category"),
        ("stego,lsb,,,,-1,,", "payload_bytes must be an integer from 0; got '-1'"),
        ("stego,lsb,,,,1.5,,", "payload_bytes must be an integer from 0; got '1.5'"),
        ("stego,lsb,,,,٣,,", "payload_bytes must be an integer from 0; got '٣'"),
        (f"stego,lsb,,,,{2**63},,", f"payload_bytes must be an integer from 0; got '{2**63}'"),
        ("stego,lsb,,,,,big-endian,", "bit_order must be lsb-first or msb-first; got 'big-endian'"),
        ("stego,lsb,,,,,,yes", "reaches_crop must be true or false; got 'yes'"),
        ('stego,lsb,,"a\tb",,,,', "cover must be a printable text of at most 1024 characters"),
        ("clean,,,,=1+1,,,", "source must be a printable text of at most 64 characters that is not a formula"),
        (f"clean,,,,{'x' * 65},,,", "source must be a printable text of at most 64 characters that is not a formula"),
        ("negative,,@x,,,,,", "category must be a printable text of at most 1024 characters that is not a formula"),
    ],
)
def test_wrong_labels_are_a_problem_of_the_file(tmp_path: Path, row: str, text: str) -> None:
    dataset = labelled(tmp_path, f"{','.join(COLUMNS)}\na/one.png,{row}\n", images=ROWS[:1])
    assert problem(dataset.files[0]) == f"unlabelled: a/one.png: {text} (labels.csv:2)"


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("", "labels.csv: no column 'path'"),
        ("path\na.png\n", "labels.csv: no column 'class'"),
        ("path,class,size\n", "labels.csv: unknown column 'size'; expected path, class, method"),
        ("path,class,path\n", "labels.csv: a column occurs twice"),
        ("path,class\na.png\n", "labels.csv: line 2: 1 cells, expected 2"),
        ('path,class\n"a.png,clean\n', "labels.csv: line 2: unexpected end of data"),
        ("path,class\n,clean\n", "labels.csv: labels.csv:2: has no path"),
        ("path,class\na.png,\n", "labels.csv: labels.csv:2: class must be clean, stego, negative; got 'None'"),
        ("path,class\na.png,Clean\n", "class must be clean, stego, negative; got 'Clean'"),
        ("path,class\n/etc/a.png,clean\n", "path '/etc/a.png' must be relative to the dataset"),
        ("path,class\n../a.png,clean\n", "path '../a.png' must be relative"),
        ("path,class\nb/../a.png,clean\n", "path 'b/../a.png' must be relative"),
        ("path,class\n./a.png,clean\n", "path './a.png' must be relative"),
        ("path,class\nb//a.png,clean\n", "path 'b//a.png' must be relative"),
        ("path,class\na.png\0,clean\n", r"path 'a.png\x00' must be relative"),
        ("path,class\na.png,clean\na.png,stego\n", "labels.csv: labels.csv:3: lists 'a.png' a second time"),
    ],
)
def test_damaged_manifest_is_an_error_of_the_dataset(tmp_path: Path, text: str, error: str) -> None:
    with pytest.raises(DatasetError) as raised:
        labelled(tmp_path, text)
    assert str(tmp_path / "labels.csv") in str(raised.value)
    assert error in str(raised.value)


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("[]", "line 1: expected an object"),
        ("{", "line 1: "),
        ("[" * 100_000, "line 1: "),
        ('{"path": "a", "path": "b", "class": "clean"}', "line 1: an object has a key twice"),
        ('{"path": "a", "class": "clean", "x": 1}', "line 1: unknown column 'x'"),
        ('{"path": 3, "class": "clean"}', "labels.jsonl:1: has no path"),
        ('{"path": "a", "class": ["clean"]}', "labels.jsonl:1: class must be"),
        ('\n{"path": "a"}', "labels.jsonl:2: class must be"),
        (r'{"path": "\ud800.png", "class": "clean"}', r"labels.jsonl:1: path '\ud800.png' is not valid Unicode"),
        (f'{{"path": "a", "class": "clean", "cover": [{"[]," * 50_000}0]}}', "line 1: longer than 131072 characters"),
    ],
)
def test_damaged_json_lines_are_an_error_of_the_dataset(tmp_path: Path, line: str, error: str) -> None:
    (tmp_path / "labels.jsonl").write_text(line)
    with pytest.raises(DatasetError) as raised:
        read_manifest(tmp_path)
    assert error in str(raised.value)


def test_manifest_that_is_not_utf8_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_bytes(b"path,class\n\xff.png,clean\n")
    with pytest.raises(DatasetError, match=r"labels.csv: is not UTF-8 \(byte 11\)"):
        read_manifest(tmp_path)


def test_byte_order_mark_of_spreadsheets_is_accepted(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_bytes(b"\xef\xbb\xbfpath,class\r\na.png,clean\r\n")
    manifest = read_manifest(tmp_path)
    assert manifest is not None
    assert manifest.classes == {"a.png": "clean"}


def test_only_one_manifest_is_accepted(tmp_path: Path) -> None:
    for name in ("labels.csv", "labels.jsonl"):
        (tmp_path / name).write_text("")
    with pytest.raises(DatasetError, match=r"has more than one label manifest: labels.csv, labels.jsonl"):
        scan("set", tmp_path)


def test_manifest_outside_the_dataset_is_refused(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("path,class\n")
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "labels.csv").symlink_to(tmp_path / "labels.csv")
    with pytest.raises(DatasetError, match=r"labels.csv: cannot be read: leads out of"):
        scan("set", tmp_path / "set")


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_manifest_that_is_not_a_file_is_refused(tmp_path: Path, make: Any) -> None:
    make(tmp_path / "labels.csv")
    with pytest.raises(DatasetError, match=r"labels.csv: cannot be read: is a"):
        scan("set", tmp_path)


def test_manifest_above_the_size_limit_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "labels.csv").open("wb") as file:
        file.truncate(MAX_MANIFEST_BYTES + 1)
    with pytest.raises(DatasetError, match=r"labels.csv: cannot be read: larger than 256.0 MiB"):
        scan("set", tmp_path)


def test_empty_manifest_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("path,class\n")
    with pytest.raises(DatasetError, match=r"no images$"):
        scan("set", tmp_path)


def test_link_out_of_the_dataset_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "x.png").write_bytes(image_bytes(1))
    root = tmp_path / "set"
    root.mkdir()
    (root / "link").symlink_to(tmp_path / "outside")
    (root / "file.png").symlink_to(tmp_path / "outside" / "x.png")
    dataset = labelled(root, "path,class\nfile.png,clean\nlink/x.png,clean\n", images=())
    problems = {file.path: problem(file) for file in dataset.files}
    assert problems["link"].endswith("is a link out of the dataset, which is not followed")
    assert problems["link/x.png"].endswith("was not found")
    assert "leads out of" in problems["file.png"]


@pytest.mark.parametrize("changed", ["cover", "source", "payload_bytes", "bit_order", "reaches_crop", "method"])
def test_fingerprint_covers_what_the_manifest_states(tmp_path: Path, changed: str) -> None:
    write_images(tmp_path)
    values = {"cover": "x", "source": "x", "payload_bytes": 13, "bit_order": "lsb-first", "reaches_crop": True}
    fingerprints = []
    for row in (ROWS[1], {**ROWS[1], changed: values.get(changed, "alpha")}):
        (tmp_path / "labels.jsonl").write_bytes(json_manifest((ROWS[0], row, *ROWS[2:])))
        fingerprints.append(scan("set", tmp_path).fingerprint)
    assert len(set(fingerprints)) == 2


def test_fingerprint_does_not_depend_on_the_format_of_the_manifest(tmp_path: Path) -> None:
    write_images(tmp_path)
    fingerprints = set()
    for name in ("labels.csv", "labels.jsonl"):
        (tmp_path / name).write_bytes(WRITERS[name](ROWS))
        fingerprints.add(scan("set", tmp_path).fingerprint)
        (tmp_path / name).unlink()
    assert len(fingerprints) == 1


def test_clean_files_of_one_cover_share_it(tmp_path: Path) -> None:
    rows = (
        {"path": "a.png", "class": "clean"},
        {"path": "a-small.png", "class": "clean", "cover": "a.png"},
        {"path": "x.png", "class": "stego", "method": "lsb", "cover": "a-small.png"},
        {"path": "one.png", "class": "clean", "cover": "other.png"},
        {"path": "other.png", "class": "clean", "cover": "one.png"},
    )
    write_images(tmp_path, rows)
    (tmp_path / "labels.csv").write_bytes(csv_manifest(rows))
    files = files_of(scan("set", tmp_path))
    assert [files[row["path"]].cover for row in rows] == [None, "a.png", "a.png", "one.png", "one.png"]


@pytest.mark.parametrize("last", ["none", "3.png"])
def test_long_chain_of_covers_is_followed_once(tmp_path: Path, last: str) -> None:
    # In the time of a test: when each file was followed to the end of the chain, 3,200 took 72 seconds.
    number = 10_000
    lines = [f"{index}.png,clean,{index + 1}.png" for index in range(number)]
    (tmp_path / "labels.csv").write_text("\n".join(["path,class,cover", *lines, f"{number}.png,clean,{last}", ""]))
    expected = "none" if last == "none" else min(f"{index}.png" for index in range(3, number + 1))
    assert {file.cover for file in scan("set", tmp_path).files} == {expected}


def test_parquet_without_pyarrow_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    (tmp_path / "labels.parquet").write_bytes(b"PAR1")
    with pytest.raises(DatasetError, match=r"labels\.parquet needs pyarrow; install it"):
        read_manifest(tmp_path)


@pytest.mark.parametrize("data", [b"", b"PAR1", b"PAR1" + bytes(64) + b"PAR1", b"path,class\n"])
def test_damaged_parquet_is_an_error_of_the_dataset(tmp_path: Path, data: bytes) -> None:
    pytest.importorskip("pyarrow")
    (tmp_path / "labels.parquet").write_bytes(data)
    with pytest.raises(DatasetError, match=r"labels.parquet: "):
        read_manifest(tmp_path)


@pytest.mark.parametrize(
    ("columns", "error"),
    [
        ({"path": ["a.png"]}, "no column 'class'"),
        ({"path": ["a.png"], "class": ["clean"], "size": [3]}, "unknown column 'size'"),
        ({"path": ["a.png"], "class": ["clean"], "cover": [["x"]]}, "a column has the type list<"),
        ({"path": ["a.png"], "class": ["clean"], "payload_bytes": [1.5]}, "a column has the type double"),
        ({"path": [7], "class": ["clean"]}, "labels.parquet: row 1: has no path"),
        ({"path": ["a.png", "a.png"], "class": ["clean", None]}, "row 2: lists 'a.png' a second time"),
    ],
)
def test_parquet_with_other_columns_is_an_error(tmp_path: Path, columns: dict[str, list[Any]], error: str) -> None:
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    parquet.write_table(arrow.table(columns), tmp_path / "labels.parquet")
    with pytest.raises(DatasetError) as raised:
        read_manifest(tmp_path)
    assert error in str(raised.value)


def test_parquet_with_a_huge_repeated_text_is_refused_before_it_is_copied(tmp_path: Path) -> None:
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    rows = 100_000
    text = arrow.DictionaryArray.from_arrays(arrow.array([0] * rows, arrow.int32()), ["x" * 5_000])
    table = arrow.table({"path": [f"{number}.png" for number in range(rows)], "class": ["clean"] * rows, "cover": text})
    parquet.write_table(table, tmp_path / "labels.parquet")
    with pytest.raises(DatasetError, match="a text is longer than 4096 bytes"):
        read_manifest(tmp_path)


def test_parquet_with_a_repeated_text_takes_little_memory(tmp_path: Path) -> None:
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    rows = 40_000
    table = arrow.table({"path": [str(number) for number in range(rows)], "class": ["clean"] * rows})
    parquet.write_table(table.append_column("cover", [["c" * 1000] * rows]), tmp_path / "labels.parquet")
    manifest = read_manifest(tmp_path)
    assert manifest is not None
    assert len({id(labels.cover) for labels in manifest.labels.values()}) < 100


def test_parquet_with_indices_out_of_its_dictionary_is_damaged(tmp_path: Path) -> None:
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    out = io.BytesIO()
    paths = [f"{number}.png" for number in range(40)]
    parquet.write_table(arrow.table({"path": paths, "class": ["clean", "stego"] * 20}), out, compression="none")
    data, errors = out.getvalue(), set()
    # One of these bytes is an index.
    for place in range(len(data) // 2):
        changed = bytearray(data)
        changed[place] = 0xFF
        (tmp_path / "labels.parquet").write_bytes(changed)
        try:
            read_manifest(tmp_path)
        except DatasetError as error:
            errors.add("out of bounds" in str(error))
    assert errors == {True, False}


_TEXT = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=12).filter(
    lambda text: not text.startswith(("=", "+", "-", "@"))
)
_PATHS = st.lists(
    st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0/\r\n"), min_size=1, max_size=8).filter(
        lambda part: part not in (".", "..")
    ),
    min_size=1,
    max_size=3,
).map("/".join)


@st.composite
def _rows(draw: st.DrawFn) -> list[Row]:
    rows: list[Row] = []
    for path in draw(st.lists(_PATHS, min_size=1, max_size=8, unique=True)):
        file_class = draw(st.sampled_from(["clean", "stego", "negative"]))
        row: dict[str, Any] = {"path": path, "class": file_class}
        options: dict[str, st.SearchStrategy[Any]] = {"cover": _TEXT}
        if file_class == "stego":
            row["method"] = draw(st.sampled_from(["alpha", "palette", "lsb", "exif", "raw"]))
            options |= {"payload_bytes": st.integers(0, 2**63 - 1), "reaches_crop": st.booleans()}
            options["bit_order"] = st.sampled_from(["lsb-first", "msb-first"])
        if file_class == "negative":
            row["category"] = draw(_TEXT)
        else:
            options["source"] = _TEXT
        rows.append(row | {name: draw(value) for name, value in options.items() if draw(st.booleans())})
    return rows


def _read(tmp_path: Path, name: str, data: bytes) -> Manifest:
    (tmp_path / name).write_bytes(data)
    try:
        manifest = read_manifest(tmp_path)
    finally:
        (tmp_path / name).unlink()
    assert manifest is not None
    return manifest


@pytest.mark.parametrize("name", WRITERS)
@settings(max_examples=60, deadline=None)
@given(rows=_rows())
def test_every_format_returns_what_was_written(
    tmp_path_factory: pytest.TempPathFactory, name: str, rows: list[Row]
) -> None:
    manifest = _read(tmp_path_factory.getbasetemp(), name, WRITERS[name](rows))
    assert manifest.classes == {row["path"]: row["class"] for row in rows}
    for row in rows:
        labels = manifest.labels[row["path"]]
        assert labels.problem is None
        assert labels.method == {"raw": "eoi"}.get(row.get("method", ""), row.get("method"))
        for column in ("category", "cover", "source", "payload_bytes", "bit_order", "reaches_crop"):
            assert getattr(labels, column) == row.get(column)


@pytest.mark.parametrize("name", WRITERS)
@settings(max_examples=200, deadline=None)
@given(st.data())
def test_any_content_is_a_manifest_or_an_error(
    tmp_path_factory: pytest.TempPathFactory, name: str, data: st.DataObject
) -> None:
    valid = WRITERS[name](ROWS)
    at = data.draw(st.integers(0, len(valid)))
    content = data.draw(
        st.one_of(
            st.binary(max_size=200),
            st.binary(max_size=6).map(lambda part: valid[:at] + part + valid[at + len(part) :]),
            st.text(st.sampled_from('{}[]":,\n\r\t\0aé1-.'), max_size=60).map(str.encode),
        )
    )
    with suppress(DatasetError):
        manifest = _read(tmp_path_factory.getbasetemp(), name, content)
        for path, file_class in manifest.classes.items():
            labels = manifest.labels[path]
            assert not path.startswith("/")
            assert ".." not in path.split("/")
            assert labels.problem is not None or (labels.method is not None) == (file_class == "stego")
