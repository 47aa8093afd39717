"""Samples of one instant, whoever gave them: Prometheus, or the exporter's own collector."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from starlight_exporter.publish.collector import StarlightCollector
from starlight_exporter.publish.metrics import Family
from starlight_exporter.publish.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class Sample:
    """One series at one instant: its labels without the metric name, and its value.

    To Prometheus an empty label is no label: ask with `label`.
    """

    labels: Mapping[str, str]
    value: float

    def has(self, labels: Mapping[str, str]) -> bool:
        """Whether these labels are among the sample's."""
        return all(self.label(name) == value for name, value in labels.items())

    def label(self, name: str) -> str:
        """The value of a label, empty where there is none."""
        return self.labels.get(name, "")


class Samples:
    """All samples of one instant, by metric name."""

    def __init__(self, named: Iterable[tuple[str, Sample]]) -> None:
        self._by_name: defaultdict[str, list[Sample]] = defaultdict(list)
        for name, sample in named:
            self._by_name[name].append(sample)

    def of(self, family: Family, labels: Mapping[str, str] | None = None) -> list[Sample]:
        """The samples of a family that carry these labels, sorted by all of their labels."""
        found = [sample for sample in self._by_name[family.name] if sample.has(labels or {})]
        return sorted(found, key=lambda sample: sorted(sample.labels.items()))

    def value(self, family: Family, labels: Mapping[str, str]) -> float | None:
        """The value of the one sample with these labels; None where there is none."""
        found = self.of(family, labels)
        return found[0].value if found else None


def samples_of(snapshot: Snapshot) -> Samples:
    """What a scrape of this snapshot would give, without the labels that Prometheus adds."""
    return Samples(
        (sample.name, Sample(sample.labels, sample.value))
        for metric in StarlightCollector(lambda: snapshot).collect()
        for sample in metric.samples
    )
