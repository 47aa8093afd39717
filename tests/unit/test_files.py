"""Atomic file writes and file hashes."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from starlight_exporter.errors import StorageError
from starlight_exporter.files import file_sha256, file_sha256_or_none, replacing, write_text


def test_write_text_replaces_the_file_and_leaves_no_temporary_file(tmp_path: Path) -> None:
    path = tmp_path / "new" / "metrics.json"
    write_text(path, "one\n")
    write_text(path, "two\n")
    assert path.read_text() == "two\n"
    assert os.listdir(path.parent) == ["metrics.json"]  # noqa: PTH208 - hidden files too, as plain names


def test_write_text_raises_storage_error_that_names_the_file(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("content")
    with pytest.raises(StorageError, match=r"folder: cannot be written"):
        write_text(tmp_path / "folder", "text")
    with pytest.raises(StorageError, match="cannot be written"):
        write_text(tmp_path / "file" / "below_a_file.json", "text")
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["file", "folder"]


def test_content_is_synced_to_disk_before_the_rename(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, real = tmp_path / "new", os.fsync
    synced: list[str] = []

    def fsync(descriptor: int) -> None:
        synced.extend(file.read_text() for file in folder.iterdir() if file.name != "a.md")
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    write_text(folder / "a.md", "text\n")
    assert synced == ["text\n"]
    assert [item.name for item in folder.iterdir()] == ["a.md"]


def test_failed_block_keeps_the_old_content_and_deletes_the_temporary_file(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_text("old")
    temporaries = []

    def write_half() -> None:
        with replacing(path) as temporary:
            temporaries.append(temporary)
            temporary.write_text("half of the new")
            raise ValueError("invalid")

    with pytest.raises(ValueError, match="invalid"):
        write_half()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
    assert temporaries[0].parent == tmp_path


def test_temporary_file_of_a_crashed_process_is_deleted_first(tmp_path: Path) -> None:
    path = tmp_path / "password"
    with replacing(path) as temporary:
        temporary.touch()
    temporary.write_text("left by a crash")
    with replacing(path) as again:
        assert again == temporary
        again.touch(0o600, exist_ok=False)
        again.write_text("new")
    assert path.read_text() == "new"
    assert list(tmp_path.iterdir()) == [path]


def test_sha256_of_a_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"content" * 100_000)
    expected = hashlib.sha256(b"content" * 100_000).hexdigest()
    assert file_sha256(path) == file_sha256_or_none(path) == expected
    assert file_sha256_or_none(tmp_path / "missing") is None
    with pytest.raises(FileNotFoundError):
        file_sha256(tmp_path / "missing")
