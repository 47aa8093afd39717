"""Response time of pages over many stored predictions, and the time to store them.

    .venv/bin/python -m benchmarks.evidence_pages --images 1000000

The predictions are simulated. Requests go over HTTP to a server in this process. Reports the median and range of
`--runs` response times, and the CPU time of client and server, which does not depend on the load of the machine.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import statistics
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx

from starlight_exporter.detector.contract import FORMATS, METHODS
from starlight_exporter.evaluation.prediction_table import PredictionTable
from starlight_exporter.evaluation.results import FileFacts, Prediction
from support.snapshots import FINISHED_AT, full_evaluation, full_snapshot, model_state, run_state
from support.web import LocalServer, idle_application

PAGES = (
    ("misclassified", "/evaluations/now/misclassified"),
    ("… class and format", "/evaluations/now/misclassified?class=clean&format=png"),
    ("… method, last page", "/evaluations/now/misclassified?method=lsb&page=999"),
    ("… embedding rate", "/evaluations/now/misclassified?class=stego&method=lsb&embedding_rate=0.5+to+1"),
    (
        "… size, bit order and source",
        "/evaluations/now/misclassified?size=65536+to+262144&bit_order=lsb-first&source=s3",
    ),
    ("… false negatives", "/evaluations/now/misclassified?direction=false_negative&method=eoi"),
    ("… broken since", "/evaluations/now/misclassified?direction=broken"),
    ("… fixed since, class and format", "/evaluations/now/misclassified?direction=fixed&class=stego&format=webp"),
    ("all images, page 400", "/evaluations/now/images?page=400"),
    ("all images, last page", "/evaluations/now/images?page=999999"),
    ("not measured", "/evaluations/now/images?shown=not_measured"),
    ("one image", "/evaluations/now/images/4711"),
    ("evaluation", "/evaluations/now"),
    ("comparison", "/evaluations/now/comparison"),
    ("status", "/"),
)


def main() -> None:
    """Store two evaluations, request each page several times, print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=50_000)
    parser.add_argument("--runs", type=int, default=7)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        _measure(Path(folder), options.images, options.runs)


def _measure(folder: Path, images: int, runs: int) -> None:
    now = full_evaluation(evaluation_id="now")
    snapshot = full_snapshot().with_model(model_state()).with_run("production", "reference", run_state(now))
    application = idle_application(folder, snapshot)
    before = full_evaluation(evaluation_id="before", finished_at=FINISHED_AT - 900, model_sha256="a" * 64)
    for result, seed in ((before, 1), (now, 2)):
        used = time.process_time()
        table = PredictionTable.write(folder / "predictions.sqlite", predictions(images, seed))
        written = time.process_time() - used
        used = time.process_time()
        stored = application.evidence.store(result, table)
        size = sum(file.stat().st_size for file in stored.iterdir())
        print(
            f"{images} predictions: generated and written in {written:.1f} s, stored in"
            f" {time.process_time() - used:.2f} s of CPU time, {size / 2**20:.1f} MiB",
            flush=True,
        )
    print(f"\n| Page over {images} predictions | Median ms | Range | CPU ms |\n|---|---:|---:|---:|")
    with LocalServer(application) as server, httpx.Client(base_url=server.url, timeout=60.0, trust_env=False) as client:
        for name, path in PAGES:
            times, busy = [], []
            for _ in range(runs):
                start, used = time.perf_counter(), time.process_time()
                client.get(path, headers={"Accept": "text/html"}).raise_for_status()
                times.append((time.perf_counter() - start) * 1000)
                busy.append((time.process_time() - used) * 1000)
            spread = f"{statistics.median(times):.0f} | {min(times):.0f} to {max(times):.0f}"
            print(f"| {name} | {spread} | {statistics.median(busy):.0f} |")
    print(f"\n{os.cpu_count()} cores, load average {os.getloadavg()[0]:.1f} at the end")


def predictions(images: int, seed: int) -> Iterator[Prediction]:
    """Yield predictions: half clean, half stego, all formats and methods, every tenth verdict wrong on average."""
    rng = random.Random(seed)
    return (_prediction(number, rng.random()) for number in range(images))


def _prediction(number: int, probability: float) -> Prediction:
    stego = number % 2 == 1
    wrong = probability < 0.1
    method = METHODS[number % len(METHODS)] if stego else None
    entry = Prediction(
        path=f"{'stego' if stego else 'clean'}/some-image-of-a-data-set-{number:06}.png",
        sha256=hashlib.sha256(str(number).encode()).hexdigest(),
        file_class="stego" if stego else "clean",
        method=method,
        category=None,
        image_format=FORMATS[number // 2 % len(FORMATS)],
        probability=probability,
        predicted_method=method or "lsb",
        verdict=stego != wrong,
        not_measured=None,
        detail="",
        seconds=probability / 100,
    )
    source = f"s{number % 20}"
    facts = FileFacts(number, 256, 256, "RGB", 0, number % 3_000, "lsb-first", number % 9_000, source=source)
    return replace(entry, facts=facts)


if __name__ == "__main__":
    main()
