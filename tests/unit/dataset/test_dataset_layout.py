"""Scanning of dataset folders: labels, fingerprint, and invalid files."""

from __future__ import annotations

import hashlib
import io
import json
import os
import subprocess
import sys
import tempfile
import zlib
from pathlib import Path

import pytest
from PIL import Image

from starlight_exporter.dataset import layout
from starlight_exporter.dataset.categories import MAX_CATEGORIES
from starlight_exporter.dataset.dataset import Dataset, LabelledFile
from starlight_exporter.errors import DatasetError


def image_bytes(file_format: str = "PNG", shade: int = 0) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (8, 8), (shade % 256, 7, 9)).save(out, file_format)
    return out.getvalue()


def write(root: Path, path: str, data: bytes | None = None) -> Path:
    target = root / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(image_bytes() if data is None else data)
    return target


def sidecar(root: Path, path: str, content: object) -> None:
    write(root, f"{path}.json", json.dumps(content).encode())


def scan(root: Path) -> dict[str, LabelledFile]:
    return {file.path: file for file in layout.scan("test", root).files}


def problem(file: LabelledFile) -> str:
    assert file.problem is not None
    return f"{file.problem.reason}: {file.problem.text}"


@pytest.mark.parametrize(
    ("path", "method"),
    [
        ("stego/letter_alpha_001.png", "alpha"),
        ("stego/my_long_name_palette_12.gif", "palette"),
        ("stego/x_lsb_0.bmp", "lsb"),
        ("stego/x_lsb.rgb_0.bmp", "lsb"),
        ("stego/x_EXIF_7.jpeg", "exif"),
        ("stego/deep/er/x_eoi_7.webp", "eoi"),
        ("stego/x_raw_7.jpg", "eoi"),
        ("stego/alpha/anything.png", "alpha"),
        ("stego/lsb.rgb/sub/anything.png", "lsb"),
        ("stego/raw/x_raw_001.png", "eoi"),
    ],
)
def test_method_comes_from_folder_or_file_name(tmp_path: Path, path: str, method: str) -> None:
    write(tmp_path, path)
    file = scan(tmp_path)[path]
    assert (file.file_class, file.method, file.category, file.problem) == ("stego", method, None, None)


@pytest.mark.parametrize(
    ("technique", "method"),
    [("alpha", "alpha"), ("palette", "palette"), ("lsb.rgb", "lsb"), ("exif", "exif"), ("raw", "eoi"), ("RAW", "eoi")],
)
def test_method_comes_from_the_sidecar(tmp_path: Path, technique: str, method: str) -> None:
    path = "stego/photograph.png"
    write(tmp_path, path)
    sidecar(tmp_path, path, {"embedding": {"category": "pixel", "technique": technique, "ai42": False}})
    assert list(scan(tmp_path)) == [path]
    assert scan(tmp_path)[path].method == method


@pytest.mark.parametrize("content", [{}, {"clean_file": "c.png"}, {"embedding": None}, {"embedding": {"ai42": True}}])
def test_sidecar_without_technique_falls_back_to_folder_and_name(tmp_path: Path, content: object) -> None:
    write(tmp_path, "stego/x_exif_1.png")
    sidecar(tmp_path, "stego/x_exif_1.png", content)
    assert scan(tmp_path)["stego/x_exif_1.png"].method == "exif"


@pytest.mark.parametrize(
    ("order", "payload", "expected"),
    [
        ("msb-first", 17, ("msb-first", 17)),
        ("lsb-first", 0, ("lsb-first", 0)),
        (None, None, (None, None)),
        ("<b>", "17", (None, None)),
        (["lsb-first"], True, (None, None)),
        ("middle", 2**70, (None, None)),
    ],
)
def test_reads_bit_order_and_payload_length_from_sidecar(
    tmp_path: Path, order: object, payload: object, expected: tuple[str | None, int | None]
) -> None:
    write(tmp_path, "stego/x_lsb_1.png")
    content = {"embedding": {"technique": "lsb.rgb", "bit_order": order}, "payload_bytes": payload}
    sidecar(tmp_path, "stego/x_lsb_1.png", content)
    file = scan(tmp_path)["stego/x_lsb_1.png"]
    assert file.problem is None
    assert (file.bit_order, file.payload_bytes) == expected


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"{", "sidecar is not JSON"),
        (b"\xff\xfe", "sidecar is not JSON"),
        (b"[" * 100_000, "sidecar is not JSON"),
        (b"[]", "must be an object"),
        (b'{"embedding": "alpha"}', "must be an object"),
        (b'{"embedding": {"technique": "dct"}}', "unknown technique: 'dct'"),
        (b'{"embedding": {"technique": 3}}', "unknown technique: '3'"),
    ],
)
def test_invalid_sidecar_is_a_problem_despite_a_valid_file_name(tmp_path: Path, content: bytes, text: str) -> None:
    write(tmp_path, "stego/x_alpha_1.png")
    write(tmp_path, "stego/x_alpha_1.png.json", content)
    file = scan(tmp_path)["stego/x_alpha_1.png"]
    assert file.method is None
    assert problem(file).startswith("unlabelled: stego/x_alpha_1.png.json: ")
    assert text in problem(file)
    assert "\n" not in problem(file)


@pytest.mark.parametrize(
    "name", ["picture.png", "x_dct_1.png", "x_alpha_one.png", "alpha_1.png", "x_alpha.png", "alpha.png", "1.png"]
)
def test_stego_file_without_method_is_a_problem_with_its_name(tmp_path: Path, name: str) -> None:
    write(tmp_path, f"stego/{name}")
    file = scan(tmp_path)[f"stego/{name}"]
    assert file.method is None
    assert problem(file).startswith(f"unlabelled: stego/{name}: ")
    assert file.sha256
    assert file.image_format == "png"


def test_category_of_negatives_comes_from_the_folder(tmp_path: Path) -> None:
    write(tmp_path, "negatives/patterns/deep/a.png")
    write(tmp_path, "negatives/b.png")
    files = scan(tmp_path)
    assert files["negatives/patterns/deep/a.png"].category == "patterns"
    assert files["negatives/patterns/deep/a.png"].file_class == "negative"
    assert problem(files["negatives/b.png"]).startswith("unlabelled: negatives/b.png: ")


@pytest.mark.parametrize(
    ("file_format", "expected"),
    [
        ("PNG", "png"),
        ("JPEG", "jpeg"),
        ("GIF", "gif"),
        ("WEBP", "webp"),
        ("BMP", "bmp"),
        ("TIFF", "other"),
        ("MPO", "jpeg"),
    ],
)
def test_format_comes_from_the_decoder_instead_of_the_name(tmp_path: Path, file_format: str, expected: str) -> None:
    data = image_bytes(file_format)
    write(tmp_path, "clean/mislabelled.png", data)
    file = scan(tmp_path)["clean/mislabelled.png"]
    assert file.image_format == expected
    assert file.size_bytes == len(data)
    assert file.sha256 == hashlib.sha256(data).hexdigest()
    assert file.problem is None


def test_ignores_hidden_files_notes_and_tables(tmp_path: Path) -> None:
    write(tmp_path, "clean/a.PNG")
    write(tmp_path, "clean/no_extension")
    for name in ("a.png.json", ".hidden.png", ".git/a.png", "README", "readme.md", "LICENSE", "list.csv", "Thumbs.db"):
        write(tmp_path, f"clean/{name}")
    for name in ("dataset.json", "stray.png", "other/a.png"):
        write(tmp_path, name)
    assert sorted(scan(tmp_path)) == ["clean/a.PNG", "clean/no_extension"]


def test_folder_named_like_an_image_is_a_folder(tmp_path: Path) -> None:
    write(tmp_path, "clean/x.png/inside.png")
    (tmp_path / "clean/empty.png").mkdir()
    assert list(scan(tmp_path)) == ["clean/x.png/inside.png"]


def test_unreadable_files_are_listed_with_their_problem(tmp_path: Path) -> None:
    write(tmp_path, "clean/good.png")
    write(tmp_path, "clean/empty.png", b"")
    write(tmp_path, "clean/text.jpg", b"this is not an image")
    write(tmp_path, "clean/cut.jpg", b"\xff\xd8\xff")
    write(tmp_path, "stego/alpha/empty.png", b"")
    (tmp_path / "clean/broken.png").symlink_to("nowhere.png")
    (tmp_path / "clean/itself.png").symlink_to("itself.png")
    os.mkfifo(tmp_path / "clean/pipe.png")
    files = scan(tmp_path)
    assert files["clean/good.png"].problem is None
    assert problem(files["clean/empty.png"]) == "unreadable: clean/empty.png: is empty"
    assert problem(files["clean/text.jpg"]).startswith("unreadable: clean/text.jpg: no image format")
    # Only the first bytes are read: the evaluation detects the damage.
    assert (files["clean/cut.jpg"].image_format, files["clean/cut.jpg"].problem) == ("jpeg", None)
    assert (
        problem(files["clean/broken.png"]) == "unreadable: clean/broken.png: cannot be read: No such file or directory"
    )
    assert problem(files["clean/itself.png"]).startswith(
        "unreadable: clean/itself.png: cannot be read: Too many levels"
    )
    assert (
        problem(files["clean/pipe.png"])
        == "unreadable: clean/pipe.png: cannot be read: is a named pipe, not a regular file"
    )
    assert files["stego/alpha/empty.png"].method == "alpha"
    assert (files["clean/broken.png"].sha256, files["clean/broken.png"].image_format) == ("", None)
    assert len(files) == 8


def test_truncated_image_is_not_a_problem_of_the_scan(tmp_path: Path) -> None:
    write(tmp_path, "clean/cut.png", image_bytes()[:60])
    file = scan(tmp_path)["clean/cut.png"]
    assert (file.image_format, file.problem) == ("png", None)


def test_header_of_a_huge_image_is_read_without_warning(tmp_path: Path) -> None:
    header = b"IHDR" + (50_000).to_bytes(4, "big") * 2 + b"\x08\x02\x00\x00\x00"
    data = b"\x89PNG\r\n\x1a\n" + (13).to_bytes(4, "big") + header + zlib.crc32(header).to_bytes(4, "big")
    write(tmp_path, "clean/huge.png", data + (0).to_bytes(4, "big") + b"IDAT" + zlib.crc32(b"IDAT").to_bytes(4, "big"))
    assert scan(tmp_path)["clean/huge.png"].image_format == "png"


def test_follows_links_inside_the_dataset_and_reports_loops(tmp_path: Path) -> None:
    write(tmp_path, "elsewhere/a.png")
    (tmp_path / "clean").mkdir()
    (tmp_path / "clean/linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "clean/b.png").symlink_to(tmp_path / "elsewhere/a.png")
    (tmp_path / "elsewhere/back").symlink_to(tmp_path / "clean")
    files = scan(tmp_path)
    assert sorted(files) == ["clean/b.png", "clean/linked/a.png", "clean/linked/back"]
    assert problem(files["clean/linked/back"]) == (
        "unreadable: clean/linked/back: is a link to a folder that contains it, which is not followed"
    )
    assert files["clean/b.png"].problem is None


def test_name_that_is_not_utf8_is_escaped(tmp_path: Path) -> None:
    write(tmp_path, "clean/good.png")
    try:
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/clean/\xff.png")).write_bytes(image_bytes())
    except OSError:
        pytest.skip("this file system accepts UTF-8 names only")
    file = scan(tmp_path)["clean/\\xff.png"]
    assert problem(file) == "unreadable: clean/\\xff.png: its name is not UTF-8"


def test_missing_permission_is_a_problem_of_the_file_only() -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        root.chmod(0o755)
        write(root, "clean/good.png")
        write(root, "clean/locked.png").chmod(0)
        write(root, "clean/private/inside.png")
        (root / "clean/private").chmod(0)
        code = (
            "import os, sys\n"
            "from pathlib import Path\n"
            "from PIL import Image\n"
            "from starlight_exporter.dataset import layout\n"
            "Image.init()\n"  # Other users may not be able to read the interpreter's files.
            "if os.geteuid() == 0: os.setuid(65534)\n"
            "for file in layout.scan('x', Path(sys.argv[1])).files: print(file.problem and file.problem.text)\n"
        )
        done = subprocess.run([sys.executable, "-c", code, folder], capture_output=True, text=True, check=True)
        (root / "clean/private").chmod(0o755)
    assert done.stdout.splitlines() == [
        "None",
        "clean/locked.png: cannot be read: Permission denied",
        "clean/private: cannot be listed: Permission denied",
    ]


@pytest.mark.parametrize("what", ["missing", "file", "empty", "no class folder", "empty class folder", "only notes"])
def test_rejects_a_root_that_is_not_a_dataset(tmp_path: Path, what: str) -> None:
    root = tmp_path / "data"
    expected = "no images"
    if what == "missing":
        expected = "no such dataset folder"
    elif what == "file":
        root.write_text("x")
        expected = "is a file"
    elif what in ("empty", "no class folder"):
        root.mkdir()
        expected = "none of the folders clean (or cover), stego (or a method) and negatives"
        if what != "empty":
            write(root, "images/a.png")
    elif what == "empty class folder":
        (root / "stego").mkdir(parents=True)
    else:
        write(root, "clean/README.md")
    with pytest.raises(DatasetError) as caught:
        layout.scan("x", root)
    assert str(caught.value).startswith(f"{root}: ")
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


def make_two(root: Path) -> Dataset:
    write(root, "clean/a.png")
    write(root, "stego/x_alpha_1.png", image_bytes(shade=3))
    return layout.scan("two", root)


def test_fingerprint_covers_path_label_and_content_only(tmp_path: Path) -> None:
    first = make_two(tmp_path / "one")
    assert len(first.fingerprint) == 64
    assert make_two(tmp_path / "same").fingerprint == first.fingerprint
    root = tmp_path / "same"
    os.utime(root / "clean/a.png", (1, 1))
    write(root, "notes.txt")
    assert layout.scan("other name", root).fingerprint == first.fingerprint
    sidecar(root, "stego/x_alpha_1.png", {"embedding": {"technique": "exif"}})
    relabelled = layout.scan("x", root).fingerprint
    (root / "stego/x_alpha_1.png.json").unlink()
    write(root, "clean/a.png", image_bytes(shade=9))
    changed = layout.scan("x", root).fingerprint
    write(root, "clean/a.png")
    (root / "clean/a.png").rename(root / "clean/b.png")
    renamed = layout.scan("x", root).fingerprint
    (root / "clean/b.png").rename(root / "clean/a.png")
    assert len({first.fingerprint, relabelled, changed, renamed}) == 4
    assert layout.scan("x", root).fingerprint == first.fingerprint


def test_files_are_sorted_by_path(tmp_path: Path) -> None:
    for name in ("stego/x_alpha_2.png", "clean/b.png", "clean/a/z.png", "negatives/patterns/a.png", "clean/B.png"):
        write(tmp_path, name)
    paths = [file.path for file in layout.scan("x", tmp_path).files]
    assert paths == sorted(paths)
    assert len(paths) == 5


def test_number_of_measured_categories_is_limited(tmp_path: Path) -> None:
    for number in range(MAX_CATEGORIES + 1):
        write(tmp_path, f"negatives/{number:03}/a.png")
    write(tmp_path, f"negatives/{MAX_CATEGORIES}/b.png")
    files = scan(tmp_path)
    assert {path for path, file in files.items() if file.problem is not None} == {"negatives/099/a.png"}
    excluded = files["negatives/099/a.png"]
    assert excluded.category is None
    assert problem(excluded).startswith("unlabelled: negatives/099/a.png: its category is one of 101")
    assert len({file.category for file in files.values() if file.category is not None}) == MAX_CATEGORIES
