"""ImageFolder of Hugging Face with metadata: classes, methods, and metadata that cannot be used."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from starlight_exporter.dataset.dataset import LabelledFile
from starlight_exporter.dataset.layout import scan
from starlight_exporter.errors import DatasetError
from support.images import image_bytes

CSV = """file_name,label,text,source,cover
images/a.png,cover,"a photograph, grey",camera,
images/b.png,lsb,,,images/a.png
images/c.png,Stego,,,
images/d.png,negative,,,
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "images").mkdir()
    for number, name in enumerate("abcd"):
        (tmp_path / "images" / f"{name}.png").write_bytes(image_bytes(number))
    return tmp_path


def files(root: Path) -> dict[str, LabelledFile]:
    return {file.path: file for file in scan("d", root).files}


def test_labels_are_names_of_classes_or_methods(root: Path) -> None:
    (root / "metadata.csv").write_text(CSV)
    found = files(root)
    clean, stego = found["images/a.png"], found["images/b.png"]
    assert (clean.file_class, clean.source, clean.problem) == ("clean", "camera", None)
    assert (stego.file_class, stego.method, stego.cover, stego.source) == ("stego", "lsb", "images/a.png", "camera")
    problems = {path: file.problem.text for path, file in found.items() if file.problem is not None}
    assert problems == {
        "images/c.png": "images/c.png: is a stego file without method (metadata.csv:4)",
        "images/d.png": "images/d.png: is a negative without category (metadata.csv:5)",
    }


def test_json_lines_have_the_same_labels(root: Path) -> None:
    rows = [
        {"file_name": "images/a.png", "label": "clean", "objects": {"bbox": [[1, 2]]}},
        {"file_name": "images/b.png", "class": "stego", "method": "exif", "payload_bytes": 7},
        {"file_name": "images/c.png", "label": "negative", "category": "noise"},
    ]
    (root / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)))
    found = files(root)
    assert (found["images/b.png"].method, found["images/b.png"].payload_bytes) == ("exif", 7)
    assert found["images/c.png"].category == "noise"
    problem = found["images/d.png"].problem
    assert problem is not None
    assert problem.text == "images/d.png: is not listed in metadata.jsonl"


def test_fingerprint_changes_with_the_metadata(root: Path) -> None:
    (root / "metadata.csv").write_text(CSV)
    before = scan("d", root).fingerprint
    (root / "metadata.csv").write_text(CSV.replace("camera", "phone"))
    assert scan("d", root).fingerprint != before


def test_missing_file_is_not_measured(root: Path) -> None:
    (root / "metadata.csv").write_text("file_name,label\nimages/a.png,clean\nimages/gone.png,clean\n")
    problem = files(root)["images/gone.png"].problem
    assert problem is not None
    assert (problem.reason, problem.text) == (
        "unreadable",
        "images/gone.png: is listed in metadata.csv, but was not found",
    )


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("metadata.csv", "image,label\nimages/a.png,clean\n", "no column 'file_name'"),
        ("metadata.csv", "file_name,text\nimages/a.png,nice\n", "metadata.csv:2: has no label or class"),
        ("metadata.csv", "file_name,label,class\na.png,clean,clean\n", "metadata.csv:2: has both label and class"),
        ("metadata.csv", "file_name,label\n,clean\n", "metadata.csv:2: has no file_name"),
        ("metadata.csv", "file_name,label\n../a.png,clean\n", "metadata.csv:2: path '../a.png' must be relative"),
        (
            "metadata.csv",
            "file_name,label\na.png,0\n",
            "metadata.csv:2: label must be the name of a class, clean, cover, stego, negative, negatives, alpha,"
            " palette, lsb, exif, eoi; got '0'",
        ),
        ("metadata.jsonl", '{"file_name": "a.png", "label": 1}', "metadata.jsonl:1: label must be the name of a class"),
        ("metadata.csv", "file_name,label,method\na.png,lsb,exif\n", "metadata.csv:2: the label is lsb, the method"),
        ("metadata.jsonl", "[]", "line 1: expected an object"),
    ],
)
def test_uncertain_classes_are_errors(root: Path, name: str, text: str, message: str) -> None:
    (root / name).write_text(text)
    with pytest.raises(DatasetError) as error:
        scan("d", root)
    assert str(error.value).startswith(f"{root / name}: {message}")


def test_metadata_next_to_class_folders_or_other_metadata_is_ambiguous(root: Path) -> None:
    (root / "metadata.csv").write_text(CSV)
    (root / "clean").mkdir()
    with pytest.raises(DatasetError, match=r"ambiguous: has metadata\.csv and the class folder clean"):
        scan("d", root)
    (root / "clean").rmdir()
    (root / "metadata.jsonl").touch()
    with pytest.raises(DatasetError, match=r"has more than one metadata file: metadata\.csv, metadata\.jsonl"):
        scan("d", root)


def test_label_manifest_takes_precedence(root: Path) -> None:
    (root / "metadata.csv").write_text("damaged")
    (root / "labels.csv").write_text("path,class\nimages/a.png,clean\n")
    assert files(root)["images/a.png"].file_class == "clean"
