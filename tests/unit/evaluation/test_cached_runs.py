"""Runs with a cache of decoded images: the same results with less decoding, whatever state the cache is in."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import pytest

from starlight_exporter.dataset.cache_settings import CacheSettings
from starlight_exporter.dataset.dataset import FileFault
from starlight_exporter.dataset.found_files import FoundFile
from starlight_exporter.dataset.shard_reader import ReadFile, ShardReader
from starlight_exporter.dataset.sources import folder
from starlight_exporter.evaluation import scorers
from starlight_exporter.evaluation.request import RunLimits, RunRequest
from starlight_exporter.evaluation.results import Evaluation, Execution, Prediction, RunResult
from starlight_exporter.evaluation.run import evaluate
from starlight_exporter.file_access import open_regular
from support.images import image_bytes
from support.results import without_times

pytestmark = pytest.mark.slow

Requests = Callable[..., RunRequest]


def numbers(result: RunResult) -> tuple[Evaluation, tuple[Prediction, ...]]:
    """Return a result without times, the id, and how it was executed."""
    evaluation, predictions = without_times(result)
    return replace(evaluation, execution=None), predictions


def execution(result: RunResult) -> Execution:
    assert result.evaluation.execution is not None
    return result.evaluation.execution


@pytest.fixture
def root(tmp_path: Path, dataset_root: Path) -> Path:
    """A writable copy of the dataset."""
    return Path(shutil.copytree(dataset_root, tmp_path / "dataset"))


@pytest.fixture
def cache(tmp_path: Path) -> CacheSettings:
    return CacheSettings(tmp_path / "cache", 100_000_000)


def test_cache_does_not_change_results(request_for: Requests, cache: CacheSettings) -> None:
    without, cold, warm = (evaluate(request_for(cache=used)) for used in (None, cache, cache))
    assert numbers(without) == numbers(cold) == numbers(warm)
    assert (execution(without).cached_images, execution(without).decoded_images) == (0, 92)
    assert (execution(cold).cached_images, execution(cold).decoded_images) == (0, 92)
    assert (execution(warm).cached_images, execution(warm).decoded_images) == (92, 0)
    assert execution(without).cache_bytes is None
    assert execution(warm).cache_bytes == execution(cold).cache_bytes


def test_decodes_only_changed_files_again(request_for: Requests, cache: CacheSettings, root: Path) -> None:
    request = request_for(cache=cache, dataset_root=root)
    evaluate(request)
    changed = sorted((root / "clean").iterdir())[0]
    changed.write_bytes(image_bytes(4321, "png"))
    (root / "clean" / "added.png").write_bytes(image_bytes(1234, "png"))
    sorted((root / "stego" / "alpha").iterdir())[0].rename(root / "stego" / "alpha" / "moved_alpha_0001.png")
    after = evaluate(request)
    assert (execution(after).cached_images, execution(after).decoded_images) == (91, 2)
    assert numbers(after) == numbers(evaluate(replace(request, cache=None)))


def test_other_dataset_with_equal_names_gets_its_own_results(
    request_for: Requests, cache: CacheSettings, root: Path
) -> None:
    evaluate(request_for(cache=cache))
    for seed, path in enumerate(sorted(root.rglob("*.*"))):
        path.write_bytes(image_bytes(5_000 + seed, path.suffix[1:]))
    other = evaluate(request_for(cache=cache, dataset_root=root))
    assert execution(other).cached_images == 0
    assert numbers(other) == numbers(evaluate(request_for(dataset_root=root)))


def test_smaller_limit_applies_to_cached_images(request_for: Requests, cache: CacheSettings, root: Path) -> None:
    (root / "clean" / "wide.png").write_bytes(image_bytes(1, size=(100, 101)))
    evaluate(request_for(cache=cache, dataset_root=root))
    limits = RunLimits(max_pixels=10_000)
    small, fresh = (evaluate(request_for(cache=used, dataset_root=root, limits=limits)) for used in (cache, None))
    assert numbers(small) == numbers(fresh)
    assert small.evaluation.not_measured["too_large"] == 1


def test_cached_image_above_the_limit_is_counted_once(request_for: Requests, cache: CacheSettings, root: Path) -> None:
    (root / "clean" / "wide.png").write_bytes(image_bytes(1, size=(100, 101)))
    evaluate(request_for(cache=cache, dataset_root=root))
    again = evaluate(request_for(cache=cache, dataset_root=root, limits=RunLimits(max_pixels=10_000)))
    assert (execution(again).cached_images, execution(again).decoded_images) == (93, 0)


def test_image_that_timed_out_is_not_cached(request_for: Requests, cache: CacheSettings) -> None:
    slow = evaluate(request_for(cache=cache, limits=RunLimits(image_seconds=0.0)))
    assert slow.evaluation.not_measured["timeout"] == 92
    assert execution(evaluate(request_for(cache=cache))).cached_images == 0


def test_damaged_cache_does_not_change_results(request_for: Requests, cache: CacheSettings) -> None:
    before = evaluate(request_for(cache=cache))
    for path in cache.folder.glob("*/*"):
        content = bytearray(path.read_bytes())
        content[len(content) // 2] ^= 0xFF
        path.write_bytes(bytes(content))
    after = evaluate(request_for(cache=cache))
    assert numbers(after) == numbers(before)
    assert 0 < execution(after).decoded_images < 92
    assert execution(evaluate(request_for(cache=cache))).decoded_images == 0


def test_unwritable_cache_adds_a_warning(request_for: Requests, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    result = evaluate(request_for(cache=CacheSettings(tmp_path / "file" / "cache")))
    assert numbers(result) == numbers(evaluate(request_for()))
    assert execution(result).cache_problem is not None
    (warning,) = result.warnings
    assert warning.startswith("decoded images were not cached")
    assert str(tmp_path / "file") in warning


def test_file_replaced_during_the_run_is_evaluated_as_it_was_read(
    request_for: Requests, cache: CacheSettings, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = request_for(cache=cache, dataset_root=root)
    victim = sorted((root / "clean").iterdir())[3]
    before, after = victim.read_bytes(), image_bytes(777, "png")
    evaluate(request)
    read = ShardReader.files

    def files(reader: ShardReader, shard: Sequence[FoundFile], faults: Sequence[FileFault] = ()) -> Iterator[ReadFile]:
        victim.write_bytes(after)
        return read(reader, shard, faults)

    with monkeypatch.context() as patched:
        patched.setattr(ShardReader, "files", files)
        replaced = evaluate(request)
    assert numbers(replaced) == numbers(evaluate(request))
    contents = {one.path: one.sha256 for one in replaced.predictions}
    assert contents[str(victim.relative_to(root))] == hashlib.sha256(after).hexdigest()
    assert before != after


def test_every_file_is_read_once(
    request_for: Requests, cache: CacheSettings, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scorers, "SAMPLE_IMAGES", 0)
    monkeypatch.setattr(scorers, "_MAX_TRIED", 0)
    opened: list[str] = []
    original = open_regular

    def counted(path: Path, *, root: Path | None = None) -> BinaryIO:
        opened.append(str(path))
        return original(path, root=root)

    monkeypatch.setattr(folder, "open_regular", counted)
    for _ in ("cold", "warm"):
        opened.clear()
        result = evaluate(request_for(cache=cache, dataset_root=root, latency_sample=0))
        assert sorted(opened) == sorted(str(root / one.path) for one in result.predictions)
