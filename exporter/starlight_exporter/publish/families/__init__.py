"""Every metric family: one module per group defines its families and produces their samples.

The collector, the history export, `docs/metrics.md` and the tests read FAMILIES; metric names occur nowhere else in the
package.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from types import MappingProxyType
from typing import Final

from starlight_exporter.evaluation.results import Evaluation
from starlight_exporter.publish.families import (
    accuracy,
    analyses,
    checks,
    comparisons,
    data,
    embeddings,
    exporter,
    figures,
    latency,
    models,
    payload,
    provisional,
    runs,
    training,
    unlabelled,
)
from starlight_exporter.publish.families.family import Family, FamilyGroup, MetricSample
from starlight_exporter.publish.snapshot import Snapshot

GROUPS: Final[tuple[FamilyGroup, ...]] = (
    exporter.GROUP,
    models.GROUP,
    runs.GROUP,
    accuracy.GROUP,
    payload.GROUP,
    figures.GROUP,
    embeddings.GROUP,
    latency.GROUP,
    data.GROUP,
    training.GROUP,
    checks.GROUP,
    provisional.GROUP,
    comparisons.GROUP,
    analyses.GROUP,
    unlabelled.GROUP,
)

FAMILIES: Final[tuple[Family, ...]] = tuple(family for group in GROUPS for family in group.families)

SECTIONS: Final[Mapping[str, Callable[[Snapshot], Iterator[MetricSample]]]] = MappingProxyType(
    {
        "exporter": exporter.samples,
        "models": models.samples,
        "runs": runs.samples,
        "latency": latency.samples,
        "data": data.samples,
        "training": training.samples,
        "baseline": checks.baseline_samples,
        "checks": checks.samples,
        "provisional": provisional.samples,
        "comparisons": comparisons.samples,
        "analyses": analyses.samples,
        "unlabelled": unlabelled.samples,
    }
)
"""Label value `section` → the samples of a snapshot that fail or succeed together."""

EVALUATION_SECTIONS: Final[Mapping[str, Callable[[Evaluation], Iterator[MetricSample]]]] = MappingProxyType(
    {
        "accuracy": accuracy.evaluation_samples,
        "payload": payload.evaluation_samples,
        "figures": figures.evaluation_samples,
        "embeddings": embeddings.evaluation_samples,
    }
)
"""The same of one evaluation on a labelled dataset, which depend on nothing else."""


def evaluation_samples(evaluation: Evaluation) -> Iterator[MetricSample]:
    """Yield every sample that comes from one evaluation only."""
    yield from runs.evaluation_samples(evaluation)
    if evaluation.unlabelled is not None:
        # Without labels, the counts of every slice are zero: no series of a dataset that has no such slice.
        yield from unlabelled.evaluation_samples(evaluation)
        return
    for samples in EVALUATION_SECTIONS.values():
        yield from samples(evaluation)
    yield from latency.evaluation_samples(evaluation)
    yield from data.evaluation_samples(evaluation)
    yield from training.evaluation_samples(evaluation)
