"""Large images: the estimated memory of concurrent decodes is bounded, and results do not depend on it."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from starlight_exporter.dataset.listing import list_labelled
from starlight_exporter.dataset.shard_reader import ShardReader
from starlight_exporter.dataset.sources.folder import FolderSource
from starlight_exporter.detector.decoding import DecodedImage, decode
from starlight_exporter.evaluation.byte_budget import ByteBudget
from starlight_exporter.evaluation.image_decoder import ImageDecoder
from starlight_exporter.evaluation.request import RunLimits, RunRequest
from starlight_exporter.evaluation.run import evaluate
from starlight_exporter.evaluation.shard_job import ImageAccess
from support.images import image_bytes
from support.results import without_times

Requests = Callable[..., RunRequest]


def test_budget_admits_what_fits() -> None:
    budget = ByteBudget(10)
    inside: list[int] = []
    most: list[int] = []
    lock = threading.Lock()

    def work(size: int) -> None:
        with budget.admitted(size):
            with lock:
                inside.append(size)
                most.append(sum(inside))
            time.sleep(0.005)
            with lock:
                inside.remove(size)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, [4, 4, 4, 1, 9, 3, 10, 2] * 4))
    assert 4 < max(most) <= 10


def test_budget_admits_work_that_is_larger_alone() -> None:
    budget = ByteBudget(10)
    with ThreadPoolExecutor(1) as pool, budget.admitted(1):
        waiting = pool.submit(lambda: budget.admitted(25).__enter__())
        time.sleep(0.2)
        assert not waiting.done()
    waiting.result(60)


def test_waiting_for_other_images_is_not_timed(tmp_path: Path) -> None:
    (tmp_path / "clean").mkdir()
    (tmp_path / "clean" / "a.png").write_bytes(image_bytes(1))
    source = FolderSource(tmp_path)
    (read,) = ShardReader(source, max_file_bytes=10**6).files(list_labelled(source).shard([0]))
    decoder = ImageDecoder(RunLimits(decode_bytes=10_000))
    with ThreadPoolExecutor(1) as pool:
        with decoder._budget.admitted(10_000):
            waiting = pool.submit(decoder.decoded, read)
            time.sleep(1.0)
            assert not waiting.done()
        assert waiting.result()[1] < 1.0


@pytest.mark.parametrize(("memory_bytes", "expected"), [(None, 800), (1200, 600), (4000, 800)])
def test_budget_is_that_of_the_process_if_it_has_less_memory(
    tmp_path: Path, memory_bytes: int | None, expected: int
) -> None:
    images = ImageAccess(root=tmp_path, limits=RunLimits(decode_bytes=800)).start(memory_bytes=memory_bytes)
    budget = images.decoder._budget

    def admit(estimate: int) -> None:
        with budget.admitted(estimate):
            pass

    with ThreadPoolExecutor(2) as pool, budget.admitted(expected - 1):
        pool.submit(admit, 1).result(60)
        waiting = pool.submit(admit, 2)
        time.sleep(0.1)
        assert not waiting.done()
    waiting.result(60)
    images.close()


@pytest.mark.slow
def test_images_that_exceed_the_budget_are_decoded_one_at_a_time(
    request_for: Requests, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "clean").mkdir()
    # More than one shard, which one thread decodes.
    for index in range(40):
        (tmp_path / "clean" / f"{index}.png").write_bytes(image_bytes(index, size=(100 + 30 * (index % 2), 100)))
    request = request_for(dataset_root=tmp_path, threads=3, batch=1)
    expected = evaluate(request)
    inside: list[int] = []
    most: list[int] = []

    def watched(data: bytes, *, max_pixels: int) -> DecodedImage:
        inside.append(1)
        most.append(len(inside))
        time.sleep(0.02)
        decoded = decode(data, max_pixels=max_pixels)
        inside.pop()
        return decoded

    monkeypatch.setattr("starlight_exporter.evaluation.image_decoder.decode", watched)
    bounded = evaluate(replace(request, limits=replace(request.limits, decode_bytes=1000)))
    assert max(most) == 1
    assert without_times(bounded) == without_times(expected)
    evaluate(request)
    assert max(most) > 1
