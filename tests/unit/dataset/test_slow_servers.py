"""A slow server is no property of an image: fetching it has no time limit of images."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from starlight_exporter.activity import Activity, InFlight, read_activity, time_limit
from starlight_exporter.dataset.found_files import FoundFile
from starlight_exporter.dataset.shard_reader import ShardReader
from starlight_exporter.dataset.sources.base import Read
from starlight_exporter.dataset.sources.folder import FolderSource
from support.images import image_bytes

PAUSE = 0.5


class SlowSource(FolderSource):
    """A folder that is read slowly; `in_flight` is the activity while a file is read."""

    def __init__(self, root: Path, activity: Path, *, is_remote: bool) -> None:
        super().__init__(root)
        self._activity = activity
        self._is_remote = is_remote
        self.in_flight: list[InFlight] = []

    @property
    def is_remote(self) -> bool:
        """See `Source`."""
        return self._is_remote

    def read(self, found: FoundFile, *, max_bytes: int) -> bytes:
        """See `Source`."""
        self.in_flight += read_activity(self._activity)
        time.sleep(PAUSE)
        return super().read(found, max_bytes=max_bytes)

    def read_shard(self, files: Sequence[FoundFile], *, max_bytes: int) -> Iterator[Read]:
        """See `Source`."""
        return self.each(files, max_bytes=max_bytes)


@pytest.mark.slow
@pytest.mark.parametrize("is_remote", [True, False])
def test_waiting_for_a_server_is_not_the_time_of_an_image(tmp_path: Path, is_remote: bool) -> None:
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "a.png").write_bytes(image_bytes(0, size=(8, 8)))
    source = SlowSource(tmp_path / "images", tmp_path / "activity", is_remote=is_remote)
    reader = ShardReader(source, max_file_bytes=1024**2, activity=Activity(tmp_path / "activity"))
    (read,) = reader.files(source.unlabelled_files()[:])
    assert (read.data is not None, read.seconds < PAUSE) == (True, is_remote)
    (in_flight,) = source.in_flight
    assert (in_flight.phase, in_flight.files) == ("fetch" if is_remote else "scan", ("a.png",))
    assert (time_limit(in_flight, 30.0) == float("inf")) == is_remote
