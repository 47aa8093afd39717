"""Every file of a dataset is counted: ignored names are compared in full, links are followed or reported."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from starlight_exporter.dataset import walk
from starlight_exporter.dataset.dataset import Dataset, LabelledFile
from starlight_exporter.dataset.ignored import is_ignored, is_ignored_folder, may_be_sidecar
from starlight_exporter.dataset.layout import scan
from starlight_exporter.dataset.listing import list_labelled
from starlight_exporter.dataset.sources.opening import open_source
from support.images import image_bytes

IMAGE = image_bytes(1, size=(8, 8))


def write(root: Path, *paths: str, data: bytes = IMAGE) -> None:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(data)


def sidecar(root: Path, path: str, technique: str) -> None:
    write(root, path, data=json.dumps({"embedding": {"technique": technique}}).encode())


def files(dataset: Dataset) -> dict[str, LabelledFile]:
    return {file.path: file for file in dataset.files}


def problem(file: LabelledFile) -> str:
    assert file.problem is not None
    return f"{file.problem.reason}: {file.problem.text}"


# --- names ---


@pytest.mark.parametrize(
    "name",
    [
        *(".DS_Store", ".hidden.png", "._photo.jpg", "Thumbs.db", "desktop.ini", "DESKTOP.INI", "README", "readme.md"),
        *("NOTES.md", "LICENSE", "Licence.txt", "COPYING", "list.csv", "a.png.json", "checksums.sha256", "index.HTML"),
    ],
)
def test_system_files_notes_and_tables_are_ignored(name: str) -> None:
    assert is_ignored(name)


@pytest.mark.parametrize(
    "name",
    [
        *("desktop_wallpaper.png", "desktop.png", "readme_shot.png", "readme.png", "notice.jpg", "thumbs.png"),
        *(
            "license_plate.jpg",
            "copying.gif",
            "Thumbs.db.png",
            "no_extension",
            "md",
            "json",
            "a.png~",
            "photo.json.png",
        ),
    ],
)
def test_images_with_similar_names_are_not_ignored(name: str) -> None:
    assert not is_ignored(name)


def test_folders_of_file_servers_are_ignored_by_their_full_name() -> None:
    assert all(map(is_ignored_folder, ("@eaDir", "__MACOSX", ".git", "lost+found", "$RECYCLE.BIN")))
    assert not any(map(is_ignored_folder, ("eaDir", "macosx", "@eaDir2", "git", "recycle")))


def test_only_json_files_may_be_sidecars() -> None:
    assert may_be_sidecar("a.png.json")
    assert not any(map(may_be_sidecar, ("a.png", ".a.json", "a.jsonl")))


def test_ignored_files_and_folders_are_counted(tmp_path: Path) -> None:
    write(tmp_path, "clean/a.png", "clean/README.md", "clean/.DS_Store", "clean/@eaDir/a.png", "stego/alpha/b.png")
    sidecar(tmp_path, "stego/alpha/b.png.json", "alpha")
    sidecar(tmp_path, "stego/alpha/stray.json", "alpha")
    assert sorted(files(scan("test", tmp_path))) == ["clean/a.png", "stego/alpha/b.png"]
    # Two files and a folder in clean/; the stray table in stego/, but not the sidecar.
    with open_source(tmp_path) as source:
        assert list_labelled(source).files.ignored == 4


# --- sidecars ---


def test_sidecar_may_have_the_stem_of_the_only_image_with_it(tmp_path: Path) -> None:
    write(tmp_path, "stego/a.png", "stego/b.png", "stego/b.gif", "stego/c.png")
    sidecar(tmp_path, "stego/a.json", "exif")
    sidecar(tmp_path, "stego/b.json", "exif")
    sidecar(tmp_path, "stego/c.json", "exif")
    sidecar(tmp_path, "stego/c.png.json", "lsb.rgb")
    found = files(scan("test", tmp_path))
    assert (found["stego/a.png"].method, found["stego/c.png"].method) == ("exif", "lsb")
    assert (found["stego/b.png"].method, found["stego/b.gif"].method) == (None, None)


@pytest.mark.parametrize(
    ("path", "technique", "text"),
    [
        ("stego/x_alpha_1.png", "exif", "exif in the sidecar, alpha in the name"),
        ("stego/alpha/x.png", "exif", "exif in the sidecar, alpha in the folder"),
        ("stego/raw/x_alpha_1.png", None, "eoi in the folder, alpha in the name"),
    ],
)
def test_contradictory_labels_are_reported(tmp_path: Path, path: str, technique: str | None, text: str) -> None:
    write(tmp_path, path)
    if technique is not None:
        sidecar(tmp_path, f"{path}.json", technique)
    file = files(scan("test", tmp_path))[path]
    assert file.method is None
    assert problem(file) == f"unlabelled: {path}: has contradictory methods: {text}"


def test_sidecar_that_leads_out_of_the_dataset_is_reported(tmp_path: Path) -> None:
    root = tmp_path / "root"
    write(root, "stego/x_alpha_1.png")
    sidecar(tmp_path, "secret.json", "alpha")
    (root / "stego/x_alpha_1.png.json").symlink_to("../../secret.json")
    found = problem(files(scan("test", root))["stego/x_alpha_1.png"])
    assert found.startswith("unlabelled: stego/x_alpha_1.png.json: sidecar cannot be read: leads out of")


# --- links ---


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return a dataset with one clean and one stego file, next to a folder that is not part of it."""
    root = tmp_path / "root"
    write(root, "clean/a.png", "stego/alpha/b.png")
    write(tmp_path, "outside/c.png")
    return root


@pytest.mark.parametrize("target", ["..", ".", "../../root", "{root}"])
def test_folder_link_to_an_ancestor_is_reported(root: Path, target: str) -> None:
    (root / "clean/up").symlink_to(target.format(root=root))
    found = files(scan("test", root))
    assert sorted(found) == ["clean/a.png", "clean/up", "stego/alpha/b.png"]
    assert problem(found["clean/up"]) == (
        "unreadable: clean/up: is a link to a folder that contains it, which is not followed"
    )


@pytest.mark.parametrize("name", ["clean/out", "negatives"])
def test_folder_link_out_of_the_dataset_is_reported(root: Path, name: str) -> None:
    (root / name).symlink_to(root.parent / "outside")
    found = files(scan("test", root))
    assert sorted(found) == sorted(["clean/a.png", "stego/alpha/b.png", name])
    assert problem(found[name]) == f"unreadable: {name}: is a link out of the dataset, which is not followed"


def test_file_link_out_of_the_dataset_is_reported(root: Path) -> None:
    (root / "clean/c.png").symlink_to("../../outside/c.png")
    found = files(scan("test", root))["clean/c.png"]
    assert problem(found) == f"unreadable: clean/c.png: cannot be read: leads out of {root}"
    assert found.sha256 == ""


def test_linked_root_is_a_dataset(root: Path) -> None:
    (root.parent / "link").symlink_to(root)
    assert scan("test", root.parent / "link").fingerprint == scan("test", root).fingerprint


def test_links_that_multiply_are_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(walk, "MAX_LINKED_FOLDERS", 50)
    write(tmp_path, "clean/a.png")
    # Each folder links twice to the next one: 2^20 paths to the last.
    for level in range(20):
        folder = tmp_path / "levels" / str(level)
        folder.mkdir(parents=True)
        for name in ("x", "y"):
            (folder / name).symlink_to(tmp_path / "levels" / str(level + 1))
    write(tmp_path, "levels/20/b.png")
    (tmp_path / "clean/start").symlink_to(tmp_path / "levels/0")
    found = scan("test", tmp_path).files
    reported = [file for file in found if file.problem is not None]
    assert all("is one of more than 50 linked folders" in problem(file) for file in reported)
    assert 0 < len(reported) < 100


def test_deep_folders_are_reported(tmp_path: Path) -> None:
    write(tmp_path, "clean/a.png")
    write(tmp_path, "clean/" + "d/" * 100 + "b.png")
    found = files(scan("test", tmp_path))
    (path,) = found.keys() - {"clean/a.png"}
    assert problem(found[path]).endswith("is more than 64 folders deep, which is not searched")


# --- size and hostile names ---


def test_file_above_the_size_limit_is_not_hashed(tmp_path: Path) -> None:
    write(tmp_path, "clean/a.png", "clean/b.png")
    os.truncate(tmp_path / "clean/b.png", 100 * 10**9)
    first = scan("test", tmp_path, max_file_bytes=10**6)
    file = files(first)["clean/b.png"]
    assert problem(file) == "too_large: clean/b.png: is larger than 976.6 KiB"
    assert (file.sha256, file.size_bytes, file.image_format) == ("", 100 * 10**9, "png")
    os.truncate(tmp_path / "clean/b.png", 100 * 10**9 + 1)
    assert scan("test", tmp_path, max_file_bytes=10**6).fingerprint != first.fingerprint


def test_unsupported_format_is_reported_by_the_scan(tmp_path: Path) -> None:
    write(tmp_path, "clean/a.png")
    write(tmp_path, "clean/b.ppm", data=b"P6 1 1 255\n\0\0\0")
    file = files(scan("test", tmp_path))["clean/b.ppm"]
    assert problem(file) == "unsupported: clean/b.ppm: the format is not supported: PNM"
    assert file.sha256
    assert file.image_format is None


HOSTILE = (
    "line\nbreak.png",
    "tab\t.png",
    "=cmd|' /C calc'!A0.png",
    "right\u202eto left.png",
    "'quote\".png",
    "\x1b[31m.png",
)


@pytest.mark.parametrize("name", [*HOSTILE, "x" * 251 + ".png"])
def test_files_with_hostile_names_are_measured(tmp_path: Path, name: str) -> None:
    write(tmp_path, f"clean/{name}")
    file = files(scan("test", tmp_path))[f"clean/{name}"]
    assert file.problem is None
    assert file.sha256


def test_problem_of_a_file_with_a_hostile_name_is_one_printable_line(tmp_path: Path) -> None:
    for name in HOSTILE:
        write(tmp_path, f"stego/{name}")
    for file in scan("test", tmp_path).files:
        assert problem(file).isprintable()
    (broken,) = (file for file in scan("test", tmp_path).files if "\n" in file.path)
    assert problem(broken).startswith("unlabelled: stego/line\\nbreak.png: ")
