"""Folders of negatives are linked or copied into a dataset of their own."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from starlight_exporter.cli.linked_folder import link_folder
from starlight_exporter.errors import DatasetError


@pytest.fixture(params=["linked", "copied"])
def source(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a file, a link, a linked folder and a pipe."""
    folder = tmp_path / "source"
    (folder / "text").mkdir(parents=True)
    (folder / "text" / "a.png").write_bytes(b"image")
    (folder / "text" / "link.png").symlink_to("a.png")
    (folder / "again").symlink_to("text")
    os.mkfifo(folder / "text" / "pipe.png")
    if request.param == "copied":

        def refused(*_: object) -> None:
            raise OSError(errno.EXDEV, "another file system")

        monkeypatch.setattr(os, "link", refused)
    return folder


def test_folder_has_every_file(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "target" / "negatives"
    link_folder(source, target)
    assert (target / "text" / "link.png").read_bytes() == b"image"
    assert (target / "again").readlink() == Path("text")
    assert (target / "text" / "pipe.png").read_bytes() == b""
    assert sorted(os.listdir(target / "text")) == ["a.png", "link.png", "pipe.png"]  # noqa: PTH208 - plain names


def test_missing_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="missing: cannot be linked or copied: No such file or directory"):
        link_folder(tmp_path / "missing", tmp_path / "target")
