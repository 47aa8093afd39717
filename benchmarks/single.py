"""Latency of one image from file to verdict on one core, by format, compared with Pillow decoding plus session only."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import thread_time

import numpy as np
from PIL import Image

from benchmarks import results
from starlight_exporter.dataset.layout import scan
from starlight_exporter.detector.decision import PLAIN
from starlight_exporter.detector.decoding import decode
from starlight_exporter.detector.model import Detector
from starlight_exporter.detector.streams import tensors
from starlight_exporter.evaluation.request import RunLimits
from starlight_exporter.evaluation.timing import TimedDetector


@contextmanager
def _one_core() -> Iterator[None]:
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(allowed)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)


def measure(name: str, model: Path, root: Path, *, images: int = 1000) -> None:
    """Measure every image with the exporter and with the minimum pipeline; record milliseconds."""
    detector = Detector.load(model)
    dataset = scan(root.name, root)
    measurement = TimedDetector(detector, PLAIN, root, RunLimits())
    files = dataset.files[:: max(1, len(dataset.files) // images)][:images]
    full: dict[str, list[float]] = {}
    minimum: dict[str, list[float]] = {}
    core: dict[str, list[float]] = {}
    with _one_core():
        for file in files[:20]:
            measurement.measure(file)
        for file in files:
            shown = file.image_format or "other"
            start = thread_time()
            full.setdefault(shown, []).append(1000 * measurement.measure(file).total)
            core.setdefault(shown, []).append(1000 * (thread_time() - start))
            minimum.setdefault(shown, []).append(1000 * _minimum(detector, (root / file.path).read_bytes()))
    for times in (full, minimum, core):
        times["all"] = [value for values in list(times.values()) for value in values]
    results.record(
        f"single {name}",
        {
            "quantiles": {
                shown: {f"p{q}": float(np.percentile(values, q, method="higher")) for q in (50, 95, 99)}
                | {"core_p95": float(np.percentile(core[shown], 95, method="higher")), "images": len(values)}
                for shown, values in full.items()
            },
            "ratio": {shown: float(np.median(np.divide(core[shown], minimum[shown]))) for shown in full},
        },
    )


def _minimum(detector: Detector, data: bytes) -> float:
    """Return the minimum CPU seconds: Pillow decoding, and the session on prepared tensors."""
    ready = tensors(decode(data), detector.streams)
    start = thread_time()
    with Image.open(io.BytesIO(data)) as image:
        image.load()
    decoded = thread_time() - start
    start = thread_time()
    detector.predict((ready,))
    return decoded + thread_time() - start
