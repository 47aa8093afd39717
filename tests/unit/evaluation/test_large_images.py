"""Large images: processed one at a time, with the same results."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from starlight_exporter.dataset.layout import scan
from starlight_exporter.detector.decoding import DecodedImage, decode
from starlight_exporter.evaluation import image_source
from starlight_exporter.evaluation.image_source import LARGE_FILE_BYTES, ImageSource
from starlight_exporter.evaluation.request import RunLimits, RunRequest
from starlight_exporter.evaluation.run import evaluate
from support.images import image_bytes
from support.results import without_times

Requests = Callable[..., RunRequest]


def test_waiting_for_another_large_image_is_not_timed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_source, "LARGE_PIXELS", 0)
    (tmp_path / "clean").mkdir()
    (tmp_path / "clean" / "a.png").write_bytes(image_bytes(1))
    (file,) = scan("large", tmp_path).files
    source = ImageSource(tmp_path, RunLimits())
    with ThreadPoolExecutor(1) as pool:
        with source._reader._large:
            waiting = pool.submit(source.timed, file)
            time.sleep(1.0)
            assert not waiting.done()
        assert waiting.result()[1] < 1.0


@pytest.mark.slow
def test_large_images_are_processed_one_at_a_time(
    request_for: Requests, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "clean").mkdir()
    for index in range(6):
        (tmp_path / "clean" / f"{index}.png").write_bytes(image_bytes(index, size=(100 + 30 * (index % 2), 100)))
    small = evaluate(request_for(dataset_root=tmp_path, threads=3))
    monkeypatch.setattr("starlight_exporter.evaluation.image_source.LARGE_PIXELS", 10_000)
    inside: list[int] = []
    most: list[int] = []

    def watched(data: bytes, *, max_pixels: int) -> DecodedImage:
        if max_pixels == 10_000:
            return decode(data, max_pixels=max_pixels)
        inside.append(1)
        most.append(len(inside))
        time.sleep(0.02)
        decoded = decode(data, max_pixels=max_pixels)
        inside.pop()
        return decoded

    monkeypatch.setattr("starlight_exporter.evaluation.image_source.decode", watched)
    large = evaluate(request_for(dataset_root=tmp_path, threads=3))
    # Three images are large: decoded once to compare the staged with the full model, and once for the verdicts.
    assert most == [1] * 6
    assert without_times(large) == without_times(small)


def test_large_file_has_the_same_result(request_for: Requests, tmp_path: Path) -> None:
    (tmp_path / "clean").mkdir()
    path = tmp_path / "clean" / "padded.bmp"
    path.write_bytes(image_bytes(1, "bmp") + bytes(LARGE_FILE_BYTES))
    (tmp_path / "clean" / "plain.bmp").write_bytes(image_bytes(1, "bmp"))
    padded, plain = evaluate(request_for(dataset_root=tmp_path)).predictions
    assert padded.probability == plain.probability is not None
