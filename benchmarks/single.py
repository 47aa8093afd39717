"""One image from file bytes to verdict on one core, by format; against Pillow's decoding plus the bare session."""

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
    """Every image twice in a row, once each way; recorded in milliseconds."""
    detector = Detector.load(model)
    dataset = scan(root.name, root)
    measurement = TimedDetector(detector, PLAIN, dataset.root, RunLimits())
    files = dataset.files[:: max(1, len(dataset.files) // images)][:images]
    whole: dict[str, list[float]] = {}
    least: dict[str, list[float]] = {}
    core: dict[str, list[float]] = {}
    with _one_core():
        for file in files[:20]:
            measurement.measure(file)
        for file in files:
            shown = file.image_format or "other"
            start = thread_time()
            whole.setdefault(shown, []).append(1000 * measurement.measure(file).total)
            core.setdefault(shown, []).append(1000 * (thread_time() - start))
            least.setdefault(shown, []).append(1000 * _least(detector, (dataset.root / file.path).read_bytes()))
    for times in (whole, least, core):
        times["all"] = [value for values in list(times.values()) for value in values]
    results.record(
        f"single {name}",
        {
            "quantiles": {
                shown: {f"p{q}": float(np.percentile(values, q, method="higher")) for q in (50, 95, 99)}
                | {"core_p95": float(np.percentile(core[shown], 95, method="higher")), "images": len(values)}
                for shown, values in whole.items()
            },
            "ratio": {shown: float(np.median(np.divide(core[shown], least[shown]))) for shown in whole},
        },
    )


def _least(detector: Detector, data: bytes) -> float:
    """Core seconds that nothing can save: Pillow's decoding, and the session on tensors that are ready."""
    ready = tensors(decode(data), detector.streams)
    start = thread_time()
    with Image.open(io.BytesIO(data)) as image:
        image.load()
    decoded = thread_time() - start
    start = thread_time()
    detector.predict((ready,))
    return decoded + thread_time() - start
