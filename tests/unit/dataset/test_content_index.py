"""Index of contents by identity: what was added is found by later processes, and damaged records are not."""

from __future__ import annotations

import hashlib
from pathlib import Path

from starlight_exporter.dataset import content_index
from starlight_exporter.dataset.content_index import ContentIndex, KnownContent


def content(number: int) -> KnownContent:
    return KnownContent(hashlib.sha256(str(number).encode()).hexdigest(), number, ("png", "gif", "other")[number % 3])


def filled(folder: Path, numbers: range) -> None:
    index = ContentIndex(folder)
    for number in numbers:
        index.add(f"etag {number}", content(number))
    index.close()


def test_contents_of_other_processes_are_found(tmp_path: Path) -> None:
    filled(tmp_path / "cache", range(50))
    filled(tmp_path / "cache", range(50, 80))
    index = ContentIndex(tmp_path / "cache")
    assert [index.get(f"etag {number}") for number in range(80)] == [content(number) for number in range(80)]
    assert index.get("etag 80") is None


def test_damaged_records_are_unknown(tmp_path: Path) -> None:
    filled(tmp_path, range(9))
    (file,) = tmp_path.iterdir()
    data = bytearray(file.read_bytes())
    size = len(data) // 9
    data[3 * size + 20] ^= 1
    file.write_bytes(data[: 8 * size + 5])
    index = ContentIndex(tmp_path)
    assert [number for number in range(9) if index.get(f"etag {number}") is None] == [3, 8]


def test_many_files_are_merged_and_old_records_deleted(tmp_path: Path, monkeypatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setattr(content_index, "MAX_FILES", 4)
    monkeypatch.setattr(content_index, "MAX_RECORDS", 10)
    for number in range(12):
        filled(tmp_path, range(number, number + 1))
    assert len(list(tmp_path.iterdir())) <= 6
    index = ContentIndex(tmp_path)
    known = [number for number in range(12) if index.get(f"etag {number}") is not None]
    assert known == list(range(12))[-len(known) :]
    assert 5 <= len(known) <= 12


def test_unusable_folder_has_no_contents(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    filled(tmp_path / "file" / "cache", range(3))
    assert ContentIndex(tmp_path / "file" / "cache").get("etag 1") is None
