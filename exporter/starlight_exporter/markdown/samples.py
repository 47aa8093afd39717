"""Samples at one instant, from Prometheus or from the exporter's collector."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from starlight_exporter.publish.collector import StarlightCollector
from starlight_exporter.publish.families.family import Family
from starlight_exporter.publish.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class Sample:
    """The value of one series, with its labels but without the metric name."""

    labels: Mapping[str, str]
    value: float

    def has(self, labels: Mapping[str, str]) -> bool:
        """Return whether the sample has these labels."""
        return all(self.label(name) == value for name, value in labels.items())

    def label(self, name: str) -> str:
        """Return the value of a label; empty if it is missing, which is the same in Prometheus."""
        return self.labels.get(name, "")


class Samples:
    """All samples at one instant, by metric name."""

    def __init__(self, named: Iterable[tuple[str, Sample]]) -> None:
        self._by_name: defaultdict[str, list[Sample]] = defaultdict(list)
        for name, sample in named:
            self._by_name[name].append(sample)

    def of(self, family: Family, labels: Mapping[str, str] | None = None) -> list[Sample]:
        """Return the samples of a family that have these labels, sorted by all labels."""
        found = [sample for sample in self._by_name[family.name] if sample.has(labels or {})]
        return sorted(found, key=lambda sample: sorted(sample.labels.items()))

    def value(self, family: Family, labels: Mapping[str, str]) -> float | None:
        """Return the value of the sample with these labels; None if there is none."""
        found = self.of(family, labels)
        return found[0].value if found else None


def samples_of(snapshot: Snapshot) -> Samples:
    """Return the samples of a scrape of this snapshot, without the labels that Prometheus adds."""
    return Samples(
        (sample.name, Sample(sample.labels, sample.value))
        for metric in StarlightCollector(lambda: snapshot).collect()
        for sample in metric.samples
    )
