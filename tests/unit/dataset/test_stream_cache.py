"""Cache of decoded images: entries are returned unchanged, and damaged entries are misses."""

from __future__ import annotations

import errno
import hashlib
import multiprocessing
import os
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from starlight_exporter.dataset import cache as cache_module
from starlight_exporter.dataset.cache import DECODER_VERSION, StreamCache
from starlight_exporter.dataset.cache_settings import CacheSettings
from starlight_exporter.detector.compact import CompactImage, compact
from starlight_exporter.detector.contract import STREAMS
from starlight_exporter.detector.decoding import decode
from starlight_exporter.detector.streams import tensors
from support.images import image_bytes

pytestmark = pytest.mark.slow

KINDS = (("png", "RGB"), ("png", "RGBA"), ("gif", "P"), ("jpeg", "RGB"), ("bmp", "L"))


def image_file(seed: int) -> bytes:
    image_format, mode = KINDS[seed % len(KINDS)]
    return image_bytes(seed, image_format, mode=mode, size=(40 + seed % 300, 30))


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def filled(folder: Path, seeds: range, **changes: int) -> StreamCache:
    cache = StreamCache(CacheSettings(folder, **changes))
    for seed in seeds:
        data = image_file(seed)
        cache.put(sha256(data), compact(decode(data)))
    cache.publish()
    return cache


def assert_same(image: CompactImage | None, data: bytes) -> None:
    assert image is not None
    decoded = decode(data)
    expected = tensors(decoded)
    assert (image.image_format, image.width, image.height) == (decoded.image_format, decoded.width, decoded.height)
    for stream, tensor in image.tensors().items():
        assert np.array_equal(tensor, expected[stream]), stream
    assert image.digests == compact(decoded).digests


def segment_files(folder: Path, suffix: str) -> list[Path]:
    return sorted(folder.glob(f"*/*{suffix}"))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seeds=st.lists(st.integers(0, 10_000), min_size=1, max_size=6, unique=True))
def test_all_streams_are_stored_and_read_unchanged(seeds: list[int], tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("cache")
    written = StreamCache(CacheSettings(folder))
    for seed in seeds:
        data = image_file(seed)
        assert written.get(sha256(data)) is None
        written.put(sha256(data), compact(decode(data)))
    written.publish()
    for cache in (written, StreamCache(CacheSettings(folder))):
        for seed in seeds:
            assert_same(cache.get(sha256(image_file(seed))), image_file(seed))


def test_digests_identify_equal_streams_and_zeros() -> None:
    images = [compact(decode(image_file(seed))) for seed in range(10)]
    for one in images:
        for other in images:
            for stream in STREAMS:
                equal = np.array_equal(one.tensors((stream,))[stream], other.tensors((stream,))[stream])
                assert (one.digests[stream] == other.digests[stream]) == equal
        for stream in STREAMS:
            assert (one.digests[stream] == bytes(16)) == (not one.tensors((stream,))[stream].any())
            without = one.without(stream)
            assert not without.tensors()[stream].any()
            assert without.digests[stream] == bytes(16)
            for rest in set(STREAMS) - {stream}:
                assert np.array_equal(without.tensors()[rest], one.tensors()[rest])


def test_equal_planes_are_stored_once(tmp_path: Path) -> None:
    data = image_bytes(1, "bmp", size=(256, 256))
    variants = [data + bytes(1000 + extra) for extra in range(20)]
    cache = StreamCache(CacheSettings(tmp_path))
    for variant in variants:
        cache.put(sha256(variant), compact(decode(variant)))
    use = cache.publish()
    assert use.bytes < 2 * 196_608
    for variant in variants:
        assert_same(cache.get(sha256(variant)), variant)


def damage_index(folder: Path, position: int) -> None:
    (path,) = segment_files(folder, ".index")
    content = bytearray(path.read_bytes())
    content[position % len(content)] ^= 0x40
    path.write_bytes(bytes(content))


def damage_planes(folder: Path, position: int) -> None:
    (path,) = segment_files(folder, ".planes")
    with path.open("r+b") as file:
        file.seek(position % path.stat().st_size)
        byte = file.read(1)[0]
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte ^ 1]))


def cut_short(suffix: str) -> Callable[[Path, int], None]:
    def cut(folder: Path, position: int) -> None:
        (path,) = segment_files(folder, suffix)
        os.truncate(path, position % path.stat().st_size)

    return cut


@pytest.mark.parametrize("damage", [damage_index, damage_planes, cut_short(".index"), cut_short(".planes")])
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(position=st.integers(0, 2**31))
def test_damaged_entries_are_misses(
    damage: Callable[[Path, int], None], position: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("damaged")
    filled(folder, range(4))
    damage(folder, position)
    cache = StreamCache(CacheSettings(folder))
    for seed in range(4):
        data = image_file(seed)
        image = cache.get(sha256(data))
        if image is not None:
            assert_same(image, data)
        else:
            cache.put(sha256(data), compact(decode(data)))
    cache.publish()
    again = StreamCache(CacheSettings(folder))
    for seed in range(4):
        assert_same(again.get(sha256(image_file(seed))), image_file(seed))


def test_segment_truncated_while_mapped_is_a_miss(tmp_path: Path) -> None:
    cache = filled(tmp_path, range(4))
    for path in segment_files(tmp_path, ".planes"):
        os.truncate(path, 0)
    assert [cache.get(sha256(image_file(seed))) for seed in range(4)] == [None] * 4
    assert cache.publish().damaged == 4


def test_entries_of_other_decoder_versions_are_ignored_and_evicted_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as older:
        older.setattr(cache_module, "DECODER_VERSION", "0-older")
        filled(tmp_path, range(5))
    assert StreamCache(CacheSettings(tmp_path)).get(sha256(image_file(0))) is None
    old = segment_files(tmp_path, ".planes")
    size = sum(path.stat().st_size for path in tmp_path.glob("*/*"))
    filled(tmp_path, range(5), max_bytes=size + 300_000)
    assert not any(path.exists() for path in old)
    again = StreamCache(CacheSettings(tmp_path))
    for seed in range(5):
        assert_same(again.get(sha256(image_file(seed))), image_file(seed))


def test_size_limit_is_enforced_without_evicting_images_of_the_last_run(tmp_path: Path) -> None:
    limit = 3_000_000
    for first in (0, 20, 40):
        use = filled(tmp_path, range(first, first + 30), max_bytes=limit).publish()
        assert use.bytes <= limit
    cache = StreamCache(CacheSettings(tmp_path, max_bytes=limit), "a dataset")
    kept = [seed for seed in range(70) if cache.get(sha256(image_file(seed))) is not None]
    assert kept
    cache.publish()
    cache = StreamCache(CacheSettings(tmp_path, max_bytes=limit), "a dataset")
    for seed in range(100, 130):
        cache.put(sha256(image_file(seed)), compact(decode(image_file(seed))))
    use = cache.publish()
    assert use.problem is not None
    assert "in use" in use.problem
    assert use.bytes <= limit
    again = StreamCache(CacheSettings(tmp_path, max_bytes=limit))
    assert [seed for seed in range(70) if again.get(sha256(image_file(seed))) is not None] == kept


def test_least_recently_used_segment_is_evicted_first(tmp_path: Path) -> None:
    limit = 4_500_000
    filled(tmp_path, range(3), max_bytes=limit)
    filled(tmp_path, range(3, 6), max_bytes=limit)
    for path in segment_files(tmp_path, ".index"):
        os.utime(path, (1, 1))
    used = StreamCache(CacheSettings(tmp_path, max_bytes=limit))
    assert used.get(sha256(image_file(0))) is not None
    used.publish()
    filled(tmp_path, range(10, 28), max_bytes=limit)
    left = StreamCache(CacheSettings(tmp_path, max_bytes=limit))
    assert left.get(sha256(image_file(0))) is not None
    assert left.get(sha256(image_file(4))) is None


def test_number_of_segments_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache_module, "_MAX_SEGMENTS", 4)
    for seed in range(12):
        filled(tmp_path, range(seed, seed + 1))
    StreamCache(CacheSettings(tmp_path))
    assert len(segment_files(tmp_path, ".planes")) == 4


def test_unusable_folder_is_reported_as_problem(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    cache = filled(tmp_path / "file", range(3))
    use = cache.publish()
    assert use.problem is not None
    assert use.problem.startswith(str(tmp_path / "file"))
    assert (use.hits, use.decoded, use.bytes) == (0, 3, 0)
    assert cache.get(sha256(image_file(0))) is None


def test_full_disk_is_reported_and_stored_images_stay_readable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    filled(tmp_path, range(2))
    written = 0
    real = os.write

    def write(descriptor: int, content: memoryview) -> int:
        nonlocal written
        if written > 500_000:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        # A disk that becomes full accepts part of the data.
        written += len(content)
        return real(descriptor, content[:100_000])

    with monkeypatch.context() as full:
        full.setattr(os, "write", write)
        use = filled(tmp_path, range(2, 20)).publish()
    assert use.problem is not None
    assert "No space left" in use.problem
    cache = StreamCache(CacheSettings(tmp_path))
    found = [seed for seed in range(20) if cache.get(sha256(image_file(seed))) is not None]
    assert found[:3] == [0, 1, 2]
    assert len(found) < 20
    for seed in found:
        assert_same(cache.get(sha256(image_file(seed))), image_file(seed))


def test_read_only_folder_can_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    filled(tmp_path, range(3))

    def refused(*_: object) -> None:
        raise PermissionError(errno.EROFS, os.strerror(errno.EROFS))

    # Simulated, because permissions do not apply to root.
    monkeypatch.setattr(cache_module, "SegmentWriter", refused)
    cache = filled(tmp_path, range(3, 5))
    assert_same(cache.get(sha256(image_file(1))), image_file(1))
    problem = cache.publish().problem
    assert problem is not None
    assert "Read-only file system" in problem


def _fill_here(folder: Path, first: int) -> None:
    filled(folder, range(first, first + 12))


def test_processes_and_threads_write_concurrently(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_fill_here, args=(tmp_path, first)) for first in (0, 6)]
    for process in processes:
        process.start()
    shared = StreamCache(CacheSettings(tmp_path))

    def put(first: int) -> None:
        for seed in range(first, 30, 3):
            data = image_file(seed)
            shared.put(sha256(data), compact(decode(data)))

    threads = [threading.Thread(target=put, args=(12 + first,)) for first in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    for process in processes:
        process.join(60)
    shared.publish()
    assert [process.exitcode for process in processes] == [0, 0]
    cache = StreamCache(CacheSettings(tmp_path))
    for seed in range(30):
        assert_same(cache.get(sha256(image_file(seed))), image_file(seed))


def test_images_written_by_a_killed_process_are_readable(tmp_path: Path) -> None:
    cache = StreamCache(CacheSettings(tmp_path))
    for seed in range(3):
        cache.put(sha256(image_file(seed)), compact(decode(image_file(seed))))
    # Not published: the state that another process finds during the run or after a crash.
    other = StreamCache(CacheSettings(tmp_path))
    for seed in range(3):
        assert_same(other.get(sha256(image_file(seed))), image_file(seed))
    assert {path.name for path in tmp_path.iterdir()} == {DECODER_VERSION}
    cache.publish()
