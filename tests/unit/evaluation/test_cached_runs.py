"""Runs with a cache of decoded images: the same results with less decoding, whatever state the cache is in."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from starlight_exporter.dataset.cache_settings import CacheSettings
from starlight_exporter.evaluation import image_source
from starlight_exporter.evaluation.request import RunLimits, RunRequest
from starlight_exporter.evaluation.results import Evaluation, Execution, Prediction, RunResult
from starlight_exporter.evaluation.run import evaluate
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


def test_file_replaced_during_the_run_is_not_evaluated(
    request_for: Requests, cache: CacheSettings, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = request_for(cache=cache, dataset_root=root)
    before = evaluate(request)
    victim = sorted((root / "clean").iterdir())[3]
    original = victim.read_bytes()
    real = image_source.ImageSource.image

    def image(source: image_source.ImageSource, file: object) -> object:
        victim.write_bytes(image_bytes(777, "png"))
        return real(source, file)  # type: ignore[arg-type]

    monkeypatch.setattr(image_source.ImageSource, "image", image)
    # The cache returns the scanned content; without cache the changed file is unreadable.
    assert numbers(evaluate(request)) == numbers(before)
    victim.write_bytes(original)
    fresh = evaluate(replace(request, cache=None))
    assert fresh.evaluation.not_measured["unreadable"] == 1
