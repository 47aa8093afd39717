"""Metric families and their samples, independent of prometheus_client.

Names follow the Prometheus conventions: base units, ratios from 0 to 1, UTC seconds, bounded labels.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

from starlight_exporter.statistics.intervals import Proportion

PREFIX: Final = "starlight_"

Kind = Literal["gauge", "counter", "info", "histogram", "summary"]

NEVER: Final = "never"
UNTIL_EVALUATED: Final = "until the first complete evaluation"
NOT_CONFIGURED: Final = "the model or dataset is not configured"


@dataclass(frozen=True, slots=True, eq=False)
class Family:
    """A metric family. `name` is the sample name that users see (`…_total` for counters, `…_info` for infos).

    `absent` states when a sample is missing. `of_evaluation` marks families whose samples come from an Evaluation
    only: the history export writes these with the time of the evaluation.
    """

    name: str
    kind: Kind
    labels: tuple[str, ...]
    unit: str
    help: str
    absent: str
    of_evaluation: bool

    @property
    def base_name(self) -> str:
        """The name without the suffix that OpenMetrics adds by type."""
        if self.kind == "counter":
            return self.name.removesuffix("_total")
        if self.kind == "info":
            return self.name.removesuffix("_info")
        return self.name


@dataclass(frozen=True, slots=True)
class ProportionFamilies:
    """The six families of a Proportion; ratio and bounds have no sample if `total` is 0."""

    total: Family
    covers: Family
    count: Family
    ratio: Family
    lower: Family
    upper: Family


class FamilyGroup:
    """The families of one subject, in the order in which they are exposed and documented."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._families: list[Family] = []

    @property
    def families(self) -> tuple[Family, ...]:
        """Every family defined so far."""
        return tuple(self._families)

    def family(
        self,
        name: str,
        kind: Kind,
        labels: str,
        help_text: str,
        *,
        unit: str = "",
        absent: str = UNTIL_EVALUATED,
        of_evaluation: bool = False,
    ) -> Family:
        """Define a family; `labels` are separated by spaces, `name` is without PREFIX."""
        family = Family(PREFIX + name, kind, tuple(labels.split()), unit, help_text, absent, of_evaluation)
        self._families.append(family)
        return family

    def of_evaluation(
        self,
        name: str,
        labels: str,
        help_text: str,
        *,
        unit: str = "",
        absent: str = UNTIL_EVALUATED,
        kind: Kind = "gauge",
    ) -> Family:
        """Define a family whose samples come from an Evaluation only."""
        return self.family(name, kind, labels, help_text, unit=unit, absent=absent, of_evaluation=True)


class Exemplar(NamedTuple):
    """An observation in a bucket: labels of at most 128 characters in total, value, and UTC seconds."""

    labels: Mapping[str, str]
    value: float
    timestamp: float


class MetricSample(NamedTuple):
    """One sample: label values in the order of the family. `suffix`, `le` and `exemplar` belong to histograms."""

    family: Family
    labels: tuple[str, ...]
    value: float
    suffix: str = ""
    le: str | None = None
    exemplar: Exemplar | None = None


def optional(family: Family, labels: tuple[str, ...], value: float | None) -> Iterator[MetricSample]:
    """Yield one sample, or none if the value was not measured."""
    if value is not None:
        yield MetricSample(family, labels, value)


def proportion_samples(
    families: ProportionFamilies, labels: tuple[str, ...], proportion: Proportion
) -> Iterator[MetricSample]:
    """Yield the counts, and ratio and bounds if an image was measured."""
    yield MetricSample(families.total, labels, proportion.total)
    yield MetricSample(families.covers, labels, proportion.total if proportion.covers is None else proportion.covers)
    yield MetricSample(families.count, labels, proportion.count)
    yield from optional(families.ratio, labels, proportion.ratio)
    yield from optional(families.lower, labels, proportion.lower)
    yield from optional(families.upper, labels, proportion.upper)


def short_hash(sha256: str) -> str:
    """Return the first 12 digits."""
    return sha256[:12]


def number_label(value: float) -> str:
    """Return a number as a label value without float noise: 0.1 + 0.05 gives `0.15`."""
    return f"{value:.12g}"
