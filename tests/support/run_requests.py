"""Requests of evaluations."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from starlight_exporter.dataset.sources.root import root_name
from starlight_exporter.detector.decision import PLAIN
from starlight_exporter.evaluation.request import RunRequest


def run_request(model: Path, dataset: Path, /, **changes: Any) -> RunRequest:
    """Return a request without latencies; keyword arguments replace fields."""
    parts: dict[str, Any] = {
        "model": "small",
        "role": "research",
        "model_path": model,
        "decision": PLAIN,
        "dataset": root_name(dataset),
        "dataset_root": dataset,
        "trigger": "test",
        "latency_sample": 0,
        "threads": 2,
        **changes,
    }
    return RunRequest(**parts)
