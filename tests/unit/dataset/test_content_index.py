"""Index of contents by identity: what was added is found by later processes, and damaged records are not."""

from __future__ import annotations

import hashlib
import os
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


def test_writer_keeps_its_records_after_a_merge(tmp_path: Path) -> None:
    writer = ContentIndex(tmp_path)
    for number in range(2000):
        writer.add(f"etag {number}", content(number))
    for number in range(2000, 2000 + content_index.MAX_FILES):
        filled(tmp_path, range(number, number + 1))
    ContentIndex(tmp_path)
    assert len(list(tmp_path.iterdir())) == 1
    writer.close()
    index = ContentIndex(tmp_path)
    assert all(index.get(f"etag {number}") is not None for number in range(2000 + content_index.MAX_FILES))


def test_folder_among_the_files_stops_no_merge(tmp_path: Path) -> None:
    (tmp_path / "0.contents").mkdir()
    unfinished, recent = tmp_path / "0.new", tmp_path / "1.new"
    unfinished.write_bytes(b"killed")
    recent.write_bytes(b"being written")
    os.utime(unfinished, (0, 0))
    for number in range(content_index.MAX_FILES + 1):
        filled(tmp_path, range(number, number + 1))
    sizes = []
    for _ in range(3):
        ContentIndex(tmp_path)
        sizes.append(sum(path.stat().st_size for path in tmp_path.glob("*.contents") if path.is_file()))
    assert len(set(sizes)) == 1
    assert len(list(tmp_path.iterdir())) == 3
    assert not unfinished.exists()
