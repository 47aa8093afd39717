"""Write an evaluation as a recorded baseline; `baseline` describes the file."""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import asdict

from starlight_exporter.checks.baseline_reading import QUANTILE_KEYS, THROUGHPUT_KEY
from starlight_exporter.checks.machine import Machine
from starlight_exporter.detector.contract import FORMATS
from starlight_exporter.evaluation.results import Evaluation, Prediction
from starlight_exporter.formatting import iso, percent
from starlight_exporter.statistics.intervals import Proportion
from starlight_exporter.statistics.latency_ratio import BUSY_CONTENTION


def baseline_json(
    evaluation: Evaluation, misclassified: Collection[str] | None, *, command: str, machine: Machine
) -> str:
    """Return an evaluation as a baseline file, one value per line.

    Rates are in percent, latencies in milliseconds; values that were not measured are null. `misclassified` are the
    SHA-256 of the files with a wrong verdict, None if they are unknown. `command` repeats the measurement; `machine` is
    where the latency was measured.
    """
    latency = evaluation.latency
    quantiles = {} if latency is None else {entry.quantile: entry.seconds for entry in latency.quantiles}
    content = {
        "fpr": _to_percent(evaluation.clean),
        "detection_rates": {method: _to_percent(rate) for method, rate in evaluation.detections.items()},
        "performance": {
            **{key: _rounded(quantiles.get(quantile), 1000.0) for key, quantile in QUANTILE_KEYS.items()},
            THROUGHPUT_KEY: None if latency is None else _rounded(latency.throughput, 1.0),
        },
        "fpr_by_format": {
            name: _to_percent(evaluation.clean_by_format[name]) if name in evaluation.clean_by_format else None
            for name in FORMATS
        },
        "fpr_by_category": {name: _to_percent(rate) for name, rate in evaluation.negatives.items()},
        "counts": {
            "clean": _count(evaluation.clean),
            "detections": {method: _count(rate) for method, rate in evaluation.detections.items()},
            "clean_by_format": {name: _count(rate) for name, rate in evaluation.clean_by_format.items()},
            "negatives": {name: _count(rate) for name, rate in evaluation.negatives.items()},
            "latency_images": 0 if latency is None else latency.images,
        },
        "provenance": {
            "model": _encodable(evaluation.model),
            "dataset": _encodable(evaluation.dataset),
            **asdict(evaluation.provenance),
            "measured_at": iso(evaluation.finished_at),
            "command": _encodable(command),
        },
        "machine": asdict(machine),
        "misclassified": None if misclassified is None else sorted(misclassified),
    }
    return json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def misclassified_files(predictions: Sequence[Prediction]) -> frozenset[str]:
    """Return the SHA-256 of the measured files with a wrong verdict."""
    return frozenset(
        entry.sha256
        for entry in predictions
        if entry.verdict is not None and entry.verdict != (entry.file_class == "stego")
    )


def latency_warning(evaluation: Evaluation) -> str:
    """Return why the latencies should be recorded again: the machine was busy. Empty if it was not."""
    contention = None if evaluation.latency is None else evaluation.latency.contention
    if contention is None or contention <= BUSY_CONTENTION:
        return ""
    return f"the machine was busy: the timed thread did not run for {percent(contention)} of the time"


def _to_percent(rate: Proportion) -> float | None:
    return _rounded(rate.ratio, 100.0)


def _rounded(value: float | None, factor: float) -> float | None:
    return None if value is None else round(value * factor, 6)


def _count(rate: Proportion) -> dict[str, int]:
    return {"count": rate.count, "total": rate.total}


def _encodable(text: str) -> str:
    """Escape the bytes of a path that is not UTF-8."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")
