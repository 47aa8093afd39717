"""Run the exporter through an incident and record its metrics: v4 in production, v3 deployed, v4 restored."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import httpx
from prometheus_client.parser import text_string_to_metric_families

from support.exporter import Exporter
from support.waiting import wait_until

EVALUATION_TIMEOUT: Final = 3600.0
POLL_INTERVAL: Final = 1.0
EVALUATED: Final = "starlight_evaluation_timestamp_seconds"

Series = tuple[str, tuple[tuple[str, str], ...]]
"""Metric name and sorted labels."""

Phase = Literal["before", "incident", "after"]


@dataclass(frozen=True, slots=True)
class Scrape:
    """One scrape: UTC seconds, its duration in seconds, and the value of every series by metric type."""

    at: float
    duration: float
    gauges: Mapping[Series, float]
    counters: Mapping[Series, float]

    def total(self, name: str) -> float:
        """Return the sum over all series of a metric."""
        return sum(
            value for values in (self.gauges, self.counters) for (metric, _), value in values.items() if metric == name
        )


@dataclass(frozen=True, slots=True)
class Cycle:
    """Scrapes during an evaluation of the models, and the scrape after it."""

    running: tuple[Scrape, ...]
    finished: Scrape


Recording = Mapping[Phase, tuple[Cycle, ...]]


def record_incident(
    exporter: Exporter, models: Path, *, count: int, repetitions: int
) -> Mapping[Phase, tuple[Cycle, ...]]:
    """Return the cycles of every phase: one after the change of the model, then `repetitions` of all `count` models.

    `models` is the folder that the exporter reads; its production model is replaced and restored.
    """
    production = models / "production" / "model.onnx"

    def evaluate() -> None:
        httpx.post(f"{exporter.url}/api/v1/evaluations").raise_for_status()

    def phase(change: Callable[[], None], changed: int) -> tuple[Cycle, ...]:
        first = _cycle(exporter, change, changed)
        return (first, *(_cycle(exporter, evaluate, count) for _ in range(repetitions)))

    return {
        # The first evaluation decodes the images and warms up caches.
        "before": phase(evaluate, count)[1:],
        "incident": phase(lambda: deploy(models / "v3" / "model.onnx", production), 1),
        "after": phase(lambda: deploy(models / "v4" / "model.onnx", production), 1),
    }


def deploy(source: Path, target: Path) -> None:
    """Replace a model file atomically."""
    temporary = target.with_name("next.onnx")
    shutil.copyfile(source, temporary)
    os.replace(temporary, target)  # noqa: PTH105  # the call that deployments use


def scrape(exporter: Exporter) -> Scrape:
    """Scrape the exporter once."""
    started = time.monotonic()
    text = httpx.get(f"{exporter.url}/metrics", timeout=30.0).raise_for_status().text
    duration = time.monotonic() - started
    gauges: dict[Series, float] = {}
    counters: dict[Series, float] = {}
    for family in text_string_to_metric_families(text):
        values = counters if family.type in ("counter", "histogram") else gauges
        for sample in family.samples:
            values[sample.name, tuple(sorted(sample.labels.items()))] = sample.value
    return Scrape(time.time(), duration, gauges, counters)


def _cycle(exporter: Exporter, start: Callable[[], None], expected: int) -> Cycle:
    """Start evaluations and record scrapes until the expected number of models has a new result and none is running."""
    started = time.time()
    start()
    running: list[Scrape] = []

    def finished() -> Scrape | None:
        if exporter.process.poll() is not None:
            raise RuntimeError(f"exporter exited: {exporter.log.read_text()[-2000:]}")
        try:
            current = scrape(exporter)
        except httpx.TransportError:
            # A scrape can fail on a busy machine; the next poll repeats it.
            return None
        busy = current.total("starlight_evaluation_in_progress") + current.total("starlight_evaluations_queued")
        if busy:
            running.append(current)
        new = [at for (name, _), at in current.gauges.items() if name == EVALUATED and at >= started]
        ablated = any(name == "starlight_ablation_clean_images" for name, _ in current.gauges)
        return current if len(new) >= expected and ablated and not busy else None

    last = wait_until(finished, "evaluations and ablation", timeout=EVALUATION_TIMEOUT, interval=POLL_INTERVAL)
    return Cycle(tuple(running), last)
