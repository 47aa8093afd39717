"""Class folders: names of classes, folders of methods, and layouts that are ambiguous."""

from __future__ import annotations

from pathlib import Path

import pytest

from starlight_exporter.dataset.dataset import LabelledFile
from starlight_exporter.dataset.layout import scan
from starlight_exporter.errors import DatasetError
from support.images import image_bytes


def write(root: Path, *paths: str) -> None:
    for number, path in enumerate(paths):
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(image_bytes(number))


def files(root: Path) -> dict[str, LabelledFile]:
    return {file.path: file for file in scan("d", root).files}


def test_cover_is_the_class_clean(tmp_path: Path) -> None:
    write(tmp_path, "cover/camera/a.png", "stego/lsb/a.png", "negative/noise/n.png")
    found = files(tmp_path)
    assert {path: (file.file_class, file.method, file.category) for path, file in found.items()} == {
        "cover/camera/a.png": ("clean", None, None),
        "stego/lsb/a.png": ("stego", "lsb", None),
        "negative/noise/n.png": ("negative", None, "noise"),
    }
    assert found["cover/camera/a.png"].source == "camera"


@pytest.mark.parametrize("name", ["stegos", "Negatvies", "negativs", "claen"])
def test_misspelt_class_next_to_classes_is_an_error(tmp_path: Path, name: str) -> None:
    write(tmp_path, "clean/a.png", f"{name}/a.png")
    with pytest.raises(DatasetError, match=rf"the folder {name} is no class, but resembles \w+; rename it"):
        files(tmp_path)


def test_other_folders_next_to_standard_classes_are_ignored(tmp_path: Path) -> None:
    write(tmp_path, "clean/a.png", "stego/lsb/a.png", "clean_old/a.png", "thumbnails/a.png", "notes/a.png")
    assert sorted(files(tmp_path)) == ["clean/a.png", "stego/lsb/a.png"]


def test_folder_of_a_method_is_a_class(tmp_path: Path) -> None:
    write(tmp_path, "Cover/a.png", "LSB/a.png", "exif/deep/b.png")
    found = {path: (one.file_class, one.method) for path, one in files(tmp_path).items()}
    assert found == {
        "Cover/a.png": ("clean", None),
        "LSB/a.png": ("stego", "lsb"),
        "exif/deep/b.png": ("stego", "exif"),
    }


def test_sidecar_that_contradicts_the_folder_of_a_method_is_not_measured(tmp_path: Path) -> None:
    write(tmp_path, "cover/a.png", "lsb/a.png", "lsb/b.png")
    (tmp_path / "lsb" / "a.json").write_text('{"embedding": {"technique": "exif"}}')
    (tmp_path / "lsb" / "b.json").write_text('{"clean_file": "a.png", "payload_bytes": 9}')
    found = files(tmp_path)
    problem = found["lsb/a.png"].problem
    assert problem is not None
    assert (problem.reason, problem.text) == (
        "unlabelled",
        "lsb/a.png: has contradictory methods: exif in the sidecar, lsb in the class folder",
    )
    # A cover is stated relative to the folder of the clean files.
    assert (found["lsb/b.png"].cover, found["lsb/b.png"].payload_bytes) == ("cover/a.png", 9)


def test_hidden_folders_are_no_classes(tmp_path: Path) -> None:
    write(tmp_path, "cover/a.png", "lsb/a.png", ".git/b.png", "@eaDir/c.png")
    assert len(files(tmp_path)) == 2


@pytest.mark.parametrize(
    ("paths", "message"),
    [
        (("clean/a.png", "cover/a.png"), "ambiguous: clean and cover are folders of the same class"),
        (("negatives/x/a.png", "Negative/x/a.png"), "ambiguous: Negative and negatives are folders of the same class"),
        (("cover/a.png", "LSB/a.png", "lsb/b.png"), "ambiguous: LSB and lsb are folders of the same class"),
        (
            ("clean/a.png", "stego/lsb/a.png", "alpha/a.png"),
            "ambiguous: stego and alpha are stego folders; move alpha into stego",
        ),
        (
            ("cover/a.png", "lsb/a.png", "jsteg/a.png"),
            "the folder jsteg is no class; expected clean, cover, stego, negative, negatives, alpha, palette, lsb,"
            " exif, eoi, or a label manifest",
        ),
        (("train/cover/a.png", "test/cover/a.png"), "has no class folder, but test, train; use one of these as the"),
        (("dogs/a.png", "cats/a.png"), "has none of the folders clean (or cover), stego (or a method) and negatives"),
    ],
)
def test_ambiguous_and_unknown_layouts_are_errors(tmp_path: Path, paths: tuple[str, ...], message: str) -> None:
    write(tmp_path, *paths)
    with pytest.raises(DatasetError) as error:
        scan("d", tmp_path)
    assert str(error.value).startswith(f"{tmp_path}: {message}")
    assert "\n" not in str(error.value)


def test_label_manifest_takes_precedence_over_unknown_folders(tmp_path: Path) -> None:
    write(tmp_path, "cover/a.png", "jsteg/a.png")
    (tmp_path / "labels.csv").write_text("path,class,method\ncover/a.png,clean,\njsteg/a.png,stego,lsb\n")
    assert [(path, file.method) for path, file in files(tmp_path).items()] == [
        ("cover/a.png", None),
        ("jsteg/a.png", "lsb"),
    ]
