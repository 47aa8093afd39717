"""Collect the metric families of the current snapshot for every scrape; nothing is computed during a scrape."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator

import structlog
from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.metrics_core import Metric
from prometheus_client.samples import Exemplar, Sample

from starlight_exporter.evaluation.results import Evaluation
from starlight_exporter.publish.families import EVALUATION_SECTIONS, FAMILIES, SECTIONS
from starlight_exporter.publish.families.exporter import COLLECTOR_ERRORS
from starlight_exporter.publish.families.family import Family, MetricSample
from starlight_exporter.publish.snapshot import Pair, Snapshot

_log = structlog.get_logger(__name__)

_Converted = dict[tuple[str, Pair], tuple[Evaluation, list[tuple[Family, Sample]]]]
"""Section, model and dataset → the evaluation, and its samples in the form of prometheus_client."""


class StarlightCollector:
    """Convert the current snapshot into metrics; `snapshot` is called exactly once per scrape.

    A section that fails is logged, counted and left out; the scrape returns the other sections.
    """

    def __init__(self, snapshot: Callable[[], Snapshot]) -> None:
        self._snapshot = snapshot
        self._errors = dict.fromkeys(("snapshot", *SECTIONS, *EVALUATION_SECTIONS), 0)
        # Most samples: they change with the evaluation only, and take most of the time of a scrape.
        self._converted: _Converted = {}
        self._lock = threading.Lock()

    def describe(self) -> list[Metric]:
        """Return every family without samples: the registry uses the names for `name[]` and to detect duplicates."""
        return [_metric(family) for family in FAMILIES]

    def collect(self) -> Iterator[Metric]:
        """Yield the families that have samples, in the order of FAMILIES."""
        samples: dict[Family, list[Sample]] = {}
        for family, sample in (*self._snapshot_samples(), *self._error_samples()):
            samples.setdefault(family, []).append(sample)
        for family in FAMILIES:
            if family in samples:
                metric = _metric(family)
                metric.samples = samples[family]
                yield metric

    def _snapshot_samples(self) -> Iterator[tuple[Family, Sample]]:
        try:
            snapshot = self._snapshot()
        # A scrape is a process boundary: the count of errors is exposed even without a snapshot.
        except Exception:  # noqa: BLE001
            self._count_error("snapshot")
            return
        converted: _Converted = {}
        for section in (*SECTIONS, *EVALUATION_SECTIONS):
            try:
                if section in SECTIONS:
                    collected = [(sample.family, _sample(sample)) for sample in SECTIONS[section](snapshot)]
                else:
                    collected = self._evaluation_samples(section, snapshot, converted)
            # An error in one section must not affect the others.
            except Exception:  # noqa: BLE001
                self._count_error(section)
                continue
            yield from collected
        self._converted = converted

    def _evaluation_samples(
        self,
        section: str,
        snapshot: Snapshot,
        converted: _Converted,
    ) -> list[tuple[Family, Sample]]:
        """Return the samples of all evaluations, and add them to `converted`; those of the last scrape are reused."""
        collected: list[tuple[Family, Sample]] = []
        for evaluation in snapshot.evaluations():
            key = section, (evaluation.model, evaluation.dataset)
            known = self._converted.get(key)
            if known is None or known[0] is not evaluation:
                samples = EVALUATION_SECTIONS[section](evaluation)
                known = evaluation, [(sample.family, _sample(sample)) for sample in samples]
            converted[key] = known
            collected += known[1]
        return collected

    def _error_samples(self) -> list[tuple[Family, Sample]]:
        with self._lock:
            errors = dict(self._errors)
        return [
            (COLLECTOR_ERRORS, _sample(MetricSample(COLLECTOR_ERRORS, (section,), count)))
            for section, count in errors.items()
        ]

    def _count_error(self, section: str) -> None:
        with self._lock:
            self._errors[section] += 1
        _log.exception("collector failed", section=section)


def build_registry(snapshot: Callable[[], Snapshot]) -> CollectorRegistry:
    """Return a new registry with the exporter's families and those of process, platform and garbage collector."""
    registry = CollectorRegistry()
    registry.register(StarlightCollector(snapshot))
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    return registry


def _metric(family: Family) -> Metric:
    return Metric(family.base_name, family.help, family.kind)


def _sample(sample: MetricSample) -> Sample:
    family = sample.family
    labels = dict(zip(family.labels, map(_utf8, sample.labels), strict=True))
    if sample.le is not None:
        labels["le"] = sample.le
    exemplar = None
    if sample.exemplar is not None:
        exemplar = Exemplar(dict(sample.exemplar.labels), sample.exemplar.value, sample.exemplar.timestamp)
    return Sample(family.name + sample.suffix, labels, sample.value, exemplar=exemplar)


def _utf8(label: str) -> str:
    # The directory name of a category can contain bytes that are not UTF-8; they must not fail the scrape.
    return label if label.isascii() else label.encode(errors="replace").decode()
