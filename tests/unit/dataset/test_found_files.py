"""Listings: packed files equal those that were added, are found by path, and change their digest with any change."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from starlight_exporter.dataset.dataset import FileClass
from starlight_exporter.dataset.found_files import FoundFile, FoundFiles
from starlight_exporter.dataset.labelled_files import find_labelled_files
from support.images import image_bytes

ROOT = Path("/set")
FILES = (
    FoundFile(ROOT, "clean/a.png", "clean", size_bytes=5),
    FoundFile(ROOT, "clean/\udcff.png", "clean", problem="is odd"),
    FoundFile(ROOT, "stego/a.b.png", "stego", "stego/a.b.png.json", identity="etag 1", number=2),
    FoundFile(ROOT, "stego/a.gif", "stego", "stego/a.json", number=3),
    FoundFile(ROOT, "stego/b.gif", "stego", "labels/b", size_bytes=0, number=4),
    FoundFile(ROOT, "negatives/x/é.png", "negative", identity="etag 2", number=5),
)


def listing() -> FoundFiles:
    return FoundFiles.of(ROOT, FILES, ignored=3)


def test_files_are_returned_as_they_were_added() -> None:
    found = listing()
    expected = [replace(file, number=at) for at, file in enumerate(FILES)]
    assert list(found) == expected
    assert found[1:4] == tuple(expected[1:4])
    assert found[-1] == expected[-1]
    assert (len(found), found.ignored) == (6, 3)
    with pytest.raises(IndexError):
        found[6]


def test_files_are_found_by_printable_path_and_by_class() -> None:
    found = listing()
    assert [found.number_of(path) for path in ("clean/a.png", "clean/\\xff.png", "negatives/x/é.png")] == [0, 1, 5]
    assert found.number_of("clean/missing.png") is None
    assert found.of_class("clean", "negative").tolist() == [0, 1, 5]


def test_numbers_are_positions_in_the_order_of_the_paths(tmp_path: Path) -> None:
    for path in ("clean/a/b.png", "clean/a.png", "clean/a-b.png", "clean/a/b/c.png", "clean/B.png", "stego/lsb/x.png"):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_bytes(b"x")
    (tmp_path / "clean" / "a" / "loop").symlink_to(tmp_path / "clean")
    found = find_labelled_files(tmp_path).found
    assert [file.path for file in found] == sorted(file.path for file in found)
    assert [file.number for file in found] == list(range(7))
    assert [file.size_bytes for file in found if file.problem is None] == [1] * 6


CHANGES: dict[str, Callable[[Path], object]] = {
    "content": lambda root: (root / "clean" / "a.png").write_bytes(image_bytes(9)),
    "time": lambda root: os.utime(root / "clean" / "a.png", (1, 1)),
    "name": lambda root: (root / "clean" / "a.png").rename(root / "clean" / "c.png"),
    "added": lambda root: (root / "clean" / "c.png").write_bytes(b""),
    "sidecar": lambda root: (root / "stego" / "b.png.json").write_text('{"embedding": {"technique": "eoi"}}'),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_digest_changes_with_the_files(tmp_path: Path, change: Callable[[Path], object]) -> None:
    classes: tuple[tuple[str, FileClass], ...] = (("clean/a.png", "clean"), ("stego/b.png", "stego"))
    for path, _ in classes:
        (tmp_path / path).parent.mkdir()
        (tmp_path / path).write_bytes(image_bytes(1))
    (tmp_path / "stego" / "b.png.json").write_text('{"embedding": {"technique": "lsb"}}')
    (tmp_path / "clean" / "notes.txt").write_text("ignored")
    before = find_labelled_files(tmp_path).found.digest
    (tmp_path / "clean" / "notes.txt").write_text("still ignored")
    assert find_labelled_files(tmp_path).found.digest == before
    change(tmp_path)
    assert find_labelled_files(tmp_path).found.digest != before


def test_digest_changes_with_the_label_manifest(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(image_bytes(1))
    (tmp_path / "labels.csv").write_text("path,class\na.png,clean\n")
    before = find_labelled_files(tmp_path).found.digest
    (tmp_path / "labels.csv").write_text("path,class,method\na.png,stego,lsb\n")
    assert find_labelled_files(tmp_path).found.digest != before
