"""Measurements for a model card: rates by the exporter's evaluation, latency, and probes of known limitations."""

from __future__ import annotations

import json
import os
import random
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from starlight_exporter.checks.machine import current_machine
from starlight_exporter.dataset import layout
from starlight_exporter.dataset.generator import MANIFEST
from starlight_exporter.detector.contract import CROP, FORMATS, METHODS
from starlight_exporter.detector.decision import PRODUCTION
from starlight_exporter.detector.decoding import decode
from starlight_exporter.detector.model import Detector
from starlight_exporter.errors import ImageError
from starlight_exporter.evaluation.latency import measure_latency, summarise
from starlight_exporter.evaluation.request import RunLimits, RunRequest, available_cores
from starlight_exporter.evaluation.results import Evaluation
from starlight_exporter.evaluation.run import evaluate
from starlight_exporter.evaluation.timing import TimedDetector
from starlight_exporter.statistics.intervals import Proportion
from training.probes import PROBES, write_probe

LATENCY_IMAGES = 1000
PROBE_SEED, PROBE_IMAGES = 77, 60

Record = dict[str, Any]


@dataclass(frozen=True, slots=True)
class TitledDataset:
    """A dataset to measure, with its title in the card."""

    title: str
    root: Path


def measure_dataset(model: Path, dataset: TitledDataset, progress: Callable[[int, int], None]) -> Record:
    """Return counts, rates and exact intervals under the production rule, as the card stores them."""
    result = evaluate(
        RunRequest(
            model=model.parent.name,
            role="research",
            model_path=model,
            decision=PRODUCTION,
            dataset=dataset.root.name,
            dataset_root=dataset.root,
            trigger="card",
            latency_sample=0,
            threads=available_cores(),
        ),
        progress=progress,
    )
    return {"dataset": dataset.title, "made_with": generator_parameters(dataset.root), **_rates(result.evaluation)}


def generator_parameters(root: Path) -> Record | None:
    """Return the generator parameters from the manifest of a dataset, or None if it was not generated."""
    try:
        parameters = json.loads((root / MANIFEST).read_text(encoding="utf-8"))["parameters"]
    except FileNotFoundError:
        return None
    return dict(parameters)


def measure_probes(model: Path) -> list[Record]:
    """Return the detections per method on every probe."""
    records = []
    with tempfile.TemporaryDirectory() as folder:
        for probe in PROBES:
            root = Path(folder) / probe.name
            write_probe(probe, root, seed=PROBE_SEED, per_method=PROBE_IMAGES)
            record = measure_dataset(model, TitledDataset(probe.title, root), lambda _done, _total: None)
            records.append(
                {
                    "probe": probe.title,
                    "seed": PROBE_SEED,
                    "detections": {method: record["detections"][method] for method in probe.methods},
                }
            )
    return records


def measure_single_image_latency(model: Path, root: Path) -> Record:
    """Measure the time from file to verdict, one 256×256 image at a time in one thread, and the system load."""
    detector = Detector.load(model)
    dataset = layout.scan(root.name, root)
    candidates = [file for file in dataset.files if file.problem is None]
    random.Random(1).shuffle(candidates)
    files = []
    for file in candidates:
        try:
            image = decode((root / file.path).read_bytes())
        except ImageError:
            continue
        if (image.width, image.height) == (CROP, CROP):
            files.append(file)
        if len(files) == LATENCY_IMAGES:
            break
    load_before = os.getloadavg()[0]
    timed = TimedDetector(detector, PRODUCTION, root, RunLimits())
    observations = measure_latency(timed, files, sample=LATENCY_IMAGES, seed=0, progress=lambda _done, _total: None)
    if observations is None:
        return {"images": 0}
    summary = summarise(observations)
    return {
        "images": summary.images,
        "size": f"{CROP}x{CROP}",
        "threads": 1,
        "milliseconds": {f"p{quantile.quantile * 100:g}": _ms(quantile.seconds) for quantile in summary.quantiles},
        "stage_mean_milliseconds": {stage: _ms(seconds) for stage, seconds in summary.stage_means.items()},
        "machine": current_machine().describe(),
        "load_before": round(load_before, 2),
        "load_after": round(os.getloadavg()[0], 2),
    }


def _ms(seconds: float) -> float:
    return round(seconds * 1000.0, 3)


def _rates(evaluation: Evaluation) -> Record:
    by_format: Sequence[Any] = [name for name in (*FORMATS, "other") if name in evaluation.clean_by_format]
    return {
        "fingerprint": evaluation.provenance.dataset_fingerprint,
        "images": evaluation.images,
        "not_measured": sum(evaluation.not_measured.values()),
        "false_positives": _proportion(evaluation.clean),
        "false_positives_by_format": {name: _proportion(evaluation.clean_by_format[name]) for name in by_format},
        "false_positives_among_negatives": {name: _proportion(p) for name, p in sorted(evaluation.negatives.items())},
        "detections": {method: _proportion(evaluation.detections[method]) for method in METHODS},
        "roc_auc": _rounded(evaluation.roc_auc),
        "log_loss": _rounded(evaluation.log_loss),
    }


def _proportion(value: Proportion) -> Record:
    record: Record = {"count": value.count, "total": value.total}
    if value.total:
        record |= {"ratio": _rounded(value.ratio), "lower": _rounded(value.lower), "upper": _rounded(value.upper)}
    return record


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 6)
