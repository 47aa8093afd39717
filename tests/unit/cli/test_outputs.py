"""Outputs are checked before the work whose results they hold."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from starlight_exporter.cli.outputs import require_outputs, require_writable
from starlight_exporter.errors import StorageError


def require(path: Path, *inputs: Path) -> None:
    require_outputs({"--junit": path}, {}, inputs)


def test_accepts_new_existing_and_device_files(tmp_path: Path) -> None:
    existing = tmp_path / "old.xml"
    existing.write_text("old")
    for path in (tmp_path / "new.xml", existing, Path("/dev/null")):
        require(path)
    assert sorted(tmp_path.iterdir()) == [existing]
    assert existing.read_text() == "old"


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("missing/j.xml", "no such folder: {0}/missing"),
        ("file/j.xml", "{0}/file is not a folder"),
        ("folder", "is a folder"),
        ("link", "no such folder: {0}/nowhere"),
        ("model.onnx", "is an input of this command"),
    ],
)
def test_rejects_file_that_cannot_be_written(tmp_path: Path, name: str, problem: str) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("nowhere/j.xml")
    with pytest.raises(StorageError) as raised:
        require(tmp_path / name, tmp_path / "model.onnx")
    assert str(raised.value) == f"--junit: {tmp_path / name}: cannot be written: {problem.format(tmp_path)}"


def test_rejects_one_file_for_two_flags(tmp_path: Path) -> None:
    path = tmp_path / "report"
    with pytest.raises(StorageError, match=r"^--markdown: .*/report: cannot be written: is the file of --html$"):
        require_outputs({"--html": path}, {"--markdown": path}, ())
    require_outputs({"--html": Path("/dev/null")}, {"--markdown": Path("/dev/null")}, ())


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_rejects_folder_without_permission(tmp_path: Path) -> None:
    tmp_path.chmod(0o555)
    with pytest.raises(StorageError, match="no permission to write to"):
        require(tmp_path / "j.xml")


def test_missing_folders_of_other_outputs_are_created_later(tmp_path: Path) -> None:
    require_writable(tmp_path / "a" / "b" / "report.json")
    require_writable(Path("/dev/stdout"))
    assert list(tmp_path.iterdir()) == []


def test_rejects_output_below_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="cannot be written: Not a directory"):
        require_writable(tmp_path / "file" / "report.json")
