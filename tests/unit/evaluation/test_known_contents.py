"""Files of remote datasets whose content is known by identity: read only if their image is needed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from starlight_exporter.dataset.cache import StreamCache, index_folder
from starlight_exporter.dataset.cache_settings import CacheSettings
from starlight_exporter.dataset.content_index import ContentIndex
from starlight_exporter.dataset.found_files import FoundFile
from starlight_exporter.dataset.labels import Labels
from starlight_exporter.dataset.shard_reader import ReadFile, ShardReader
from starlight_exporter.dataset.sources.base import Read
from starlight_exporter.dataset.sources.folder import FolderSource
from starlight_exporter.dataset.sources.root import RemoteRoot
from starlight_exporter.detector.compact import CompactImage
from starlight_exporter.errors import ImageError
from starlight_exporter.evaluation.image_decoder import ImageDecoder
from starlight_exporter.evaluation.request import RunLimits
from support.images import image_bytes


class _Bucket(FolderSource):
    """A folder whose files are listed as those of a bucket; `read_paths` are the files that were read."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.read_paths: list[str] = []

    def listed(self) -> list[FoundFile]:
        root = RemoteRoot("memory://bucket/set")
        return [
            replace(file, root=root, identity=f"etag {file.path}", labels=Labels()) for file in self.unlabelled_files()
        ]

    def read(self, found: FoundFile, *, max_bytes: int) -> bytes:
        self.read_paths.append(found.path)
        return super().read(found, max_bytes=max_bytes)

    def read_shard(self, files: Sequence[FoundFile], *, max_bytes: int) -> Iterator[Read]:
        return self.each(files, max_bytes=max_bytes)


@pytest.fixture
def bucket(tmp_path: Path) -> _Bucket:
    (tmp_path / "images").mkdir()
    for seed in range(5):
        (tmp_path / "images" / f"{seed}.png").write_bytes(image_bytes(seed))
    (tmp_path / "images" / "text.png").write_text("no image")
    return _Bucket(tmp_path / "images")


class _Process:
    """Reads and decodes all images as one process does."""

    def __init__(self, bucket: _Bucket, folder: Path) -> None:
        settings = CacheSettings(folder)
        self.cache, self.index = StreamCache(settings), ContentIndex(index_folder(settings))
        self.reader = ShardReader(
            bucket,
            max_file_bytes=10**6,
            index=self.index,
            is_needed=lambda sha256: sha256 not in self.cache,
        )
        self.decoder = ImageDecoder(RunLimits(), self.cache, content=self.reader.content)
        self.bucket = bucket

    def run(self) -> list[tuple[ReadFile, CompactImage | str]]:
        self.bucket.read_paths.clear()
        found = []
        for read in self.reader.files(self.bucket.listed()):
            try:
                image: CompactImage | str = "problem" if read.file.problem else self.decoder.decoded(read)[0]
            except ImageError as error:
                image = str(error)
            found.append((read, image))
        self.cache.publish()
        self.index.close()
        return found


def test_known_files_with_a_cached_image_are_not_read(bucket: _Bucket, tmp_path: Path) -> None:
    first = _Process(bucket, tmp_path / "cache").run()
    assert len(bucket.read_paths) == 6
    again = _Process(bucket, tmp_path / "cache").run()
    # A file that is no image has no known content.
    assert bucket.read_paths == ["text.png"]
    assert [read.file for read, _ in again] == [read.file for read, _ in first]
    assert all(isinstance(image, CompactImage) for _, image in again[:5])


def test_known_files_with_a_damaged_image_are_read(bucket: _Bucket, tmp_path: Path) -> None:
    first = _Process(bucket, tmp_path / "cache").run()
    (planes,) = (tmp_path / "cache").glob("*/*.planes")
    planes.write_bytes(bytes(planes.stat().st_size))
    again = _Process(bucket, tmp_path / "cache").run()
    assert sorted(bucket.read_paths) == [f"{seed}.png" for seed in range(5)] + ["text.png"]
    assert [read.file for read, _ in again] == [read.file for read, _ in first]
    assert all(isinstance(image, CompactImage) for _, image in again[:5])


def test_known_file_that_has_another_content_is_unreadable(bucket: _Bucket, tmp_path: Path) -> None:
    process = _Process(bucket, tmp_path / "cache")
    process.run()
    # Its identity is the same, unlike that of a bucket.
    changed = tmp_path / "images" / "2.png"
    changed.write_bytes(changed.read_bytes()[:-1] + b"x")
    (planes,) = (tmp_path / "cache").glob("*/*.planes")
    planes.write_bytes(bytes(planes.stat().st_size))
    again = _Process(bucket, tmp_path / "cache").run()
    assert [image for _, image in again if isinstance(image, str)] == [
        "changed since the dataset was listed",
        "problem",
    ]
