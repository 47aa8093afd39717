"""Unlabelled datasets: every image below a folder, and the window of the newest files."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from starlight_exporter.dataset.dataset import Dataset
from starlight_exporter.dataset.layout import read_listing
from starlight_exporter.dataset.listing import Listing, list_unlabelled
from starlight_exporter.dataset.sources.opening import open_source
from starlight_exporter.dataset.window import Window
from starlight_exporter.errors import DatasetError
from support.images import image_bytes

IMAGE = image_bytes(1, size=(8, 8))


def write(root: Path, *paths: str, age: float = 0.0) -> None:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(IMAGE)
        at = time.time() - age
        os.utime(root / path, (at, at))


def paths(dataset: Dataset) -> list[str]:
    return [file.path for file in dataset.files]


def listed(root: Path, **window: float) -> Listing:
    with open_source(root) as source:
        return list_unlabelled(source, Window(**window) if window else None)  # type: ignore[arg-type]


def scanned(root: Path, **window: float) -> Dataset:
    return read_listing("incoming", root, listed(root, **window))


def test_every_image_below_the_folder_is_found(tmp_path: Path) -> None:
    write(tmp_path, "a.png", "clean/b.png", "stego/lsb/x_lsb_1.png", "2026/11/30/c.png")
    (tmp_path / "notes.txt").write_text("ignored")
    write(tmp_path, ".partial/d.png", "@eaDir/e.png")
    found = scanned(tmp_path)
    assert paths(found) == ["2026/11/30/c.png", "a.png", "clean/b.png", "stego/lsb/x_lsb_1.png"]
    # Folder names and file names are no labels here.
    assert {(file.file_class, file.method, file.category, file.problem) for file in found.files} == {
        ("unlabelled", None, None, None)
    }
    assert listed(tmp_path).files.ignored == 3


def test_link_out_of_the_folder_is_not_followed(tmp_path: Path) -> None:
    write(tmp_path, "outside/secret.png", "incoming/a.png")
    (tmp_path / "incoming" / "folder").symlink_to(tmp_path / "outside")
    (tmp_path / "incoming" / "file.png").symlink_to(tmp_path / "outside" / "secret.png")
    reasons = {file.path: file.problem and file.problem.reason for file in scanned(tmp_path / "incoming").files}
    assert reasons == {"a.png": None, "folder": "unreadable", "file.png": "unreadable"}


def test_empty_folder_is_a_dataset_without_images(tmp_path: Path) -> None:
    assert scanned(tmp_path).files == ()
    assert scanned(tmp_path, images=5).files == ()


def test_missing_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="no such dataset folder"):
        scanned(tmp_path / "missing")


def test_window_has_the_newest_images(tmp_path: Path) -> None:
    write(tmp_path, "new/c.png", age=1)
    write(tmp_path, "new/b.png", age=10)
    write(tmp_path, "old/a.png", age=100)
    assert paths(scanned(tmp_path, images=2)) == ["new/b.png", "new/c.png"]
    assert listed(tmp_path, images=2).files_outside_window == 1
    assert listed(tmp_path, images=9).files_outside_window == 0


def test_window_has_the_images_of_the_last_seconds(tmp_path: Path) -> None:
    write(tmp_path, "a.png", age=100)
    write(tmp_path, "b.png", age=1000)
    write(tmp_path, "future.png", age=-1000)
    assert paths(scanned(tmp_path, seconds=500)) == ["a.png", "future.png"]
    assert listed(tmp_path, seconds=500).files_outside_window == 1


def test_file_dated_in_the_future_does_not_keep_new_files_out(tmp_path: Path) -> None:
    write(tmp_path, "future/a.png", "future/b.png", age=-100_000_000)
    time.sleep(0.02)
    write(tmp_path, "new.png")
    assert paths(scanned(tmp_path, images=1)) == ["new.png"]


def test_broken_link_is_reported_although_it_has_no_time(tmp_path: Path) -> None:
    write(tmp_path, "a.png", "b.png")
    (tmp_path / "broken.png").symlink_to(tmp_path / "nowhere")
    found = scanned(tmp_path, images=1)
    assert [file.path for file in found.files if file.problem is not None] == ["broken.png"]
    assert len(found.files) == 2


def test_fingerprint_covers_the_window_only(tmp_path: Path) -> None:
    write(tmp_path, "a.png", age=1)
    write(tmp_path, "b.png", age=2)
    before = scanned(tmp_path, images=2).fingerprint
    write(tmp_path, "old.png", age=1000)
    assert scanned(tmp_path, images=2).fingerprint == before
    write(tmp_path, "new.png")
    assert scanned(tmp_path, images=2).fingerprint != before
