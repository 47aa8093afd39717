"""Local engine: results in the order of the shards, bounded work ahead, and an end with every exception."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from starlight_exporter.activity import NO_ACTIVITY, Activity
from starlight_exporter.dataset.dataset import FileFault
from starlight_exporter.dataset.engine import BATCH, LOCAL_SHARD_SIZES, LocalEngine, Shard, shard_files
from starlight_exporter.dataset.found_files import FoundFile, FoundFiles
from starlight_exporter.dataset.labelled_files import LabelledFiles
from starlight_exporter.dataset.labels import Labels
from starlight_exporter.dataset.listing import Listing


@dataclass
class _Paths:
    """A job that returns the paths of a shard; later shards are faster. `started` and `closed` count its calls."""

    failing: str = ""
    started: list[str] = field(default_factory=list)
    closed: int = 0
    image_seconds: float = 1.0

    def start(self, activity: Activity = NO_ACTIVITY, memory_bytes: int | None = None) -> _Paths:
        assert activity is NO_ACTIVITY
        assert memory_bytes is None
        return self

    def run(self, shard: Shard, faults: Sequence[FileFault] = ()) -> list[str]:
        assert not faults
        self.started.append(shard[0].path)
        time.sleep(0.02 if len(self.started) % 4 == 1 else 0.001)
        if shard[0].path == self.failing:
            raise ZeroDivisionError(self.failing)
        return [file.path for file in shard]

    def close(self) -> None:
        self.closed += 1


def listing(files: int) -> Listing:
    root = Path("set")
    found = FoundFiles.of(root, (FoundFile(root, f"clean/{number:05d}.png", "clean") for number in range(files)))
    return Listing(LabelledFiles(found, lambda _: Labels(), has_manifest=False, clean_folder="clean"))


def no_threads() -> bool:
    return not [thread for thread in threading.enumerate() if thread.name.startswith("shards")]


@pytest.mark.parametrize("threads", [1, 3])
def test_results_are_in_the_order_of_the_shards(threads: int) -> None:
    job, done = _Paths(), list[int]()
    shards = listing(1000).shards(32)
    results = list(LocalEngine(threads).map(job, shards, progress=done.append))
    assert [path for result in results for path in result] == [f"clean/{number:05d}.png" for number in range(1000)]
    assert job.closed == 1
    assert done == sorted(done)
    assert done[-1] == 1000
    assert no_threads()


def test_shards_are_taken_when_they_are_needed() -> None:
    job = _Paths()
    results = LocalEngine(2).map(job, listing(10_000).shards(16), progress=lambda _: None)
    next(results)
    assert len(job.started) <= 20
    results.close()
    assert job.closed == 1
    assert no_threads()


def test_exception_of_a_shard_ends_the_job() -> None:
    job = _Paths(failing="clean/00064.png")
    with pytest.raises(ZeroDivisionError):
        list(LocalEngine(2).map(job, listing(10_000).shards(32), progress=lambda _: None))
    assert job.closed == 1
    assert len(job.started) < 40
    assert no_threads()


def test_exception_of_the_progress_ends_the_job() -> None:
    job = _Paths()

    def cancel(done: int) -> None:
        if done > 100:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(LocalEngine(2).map(job, listing(10_000).shards(32), progress=cancel))
    assert job.closed == 1
    assert no_threads()


@pytest.mark.parametrize(("files", "expected"), [(1, [1]), (16, [16]), (17, [17]), (18, [16, 2]), (33, [16, 17])])
def test_no_shard_has_a_single_file_of_several(files: int, expected: list[int]) -> None:
    shards = listing(files).shards(16)
    assert [len(shards[number]) for number in range(len(shards))] == expected
    assert [file.number for number in range(len(shards)) for file in shards[number]] == list(range(files))


def test_size_of_shards_depends_on_files_and_threads() -> None:
    low, high = LOCAL_SHARD_SIZES
    sizes = [shard_files(files, LocalEngine(threads)) for files in (0, 1, 92, 2_000, 10**6) for threads in (1, 2, 16)]
    assert all(size % BATCH == 0 and low <= size <= high for size in sizes)
    assert shard_files(92, LocalEngine(2)) == low
    assert shard_files(10**6, LocalEngine(16)) == high
