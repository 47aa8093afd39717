"""Metrics of paired comparisons of two models on the same images."""

from __future__ import annotations

from collections.abc import Iterator

from starlight_exporter.publish.families.family import FamilyGroup, MetricSample, optional
from starlight_exporter.publish.snapshot import Snapshot

GROUP = FamilyGroup("Comparisons")

_NOT_COMPARED = "there are no stored predictions of both models on the same images under the same decision rule"

COMPARISON_IMAGES = GROUP.family(
    "comparison_images",
    "gauge",
    "model against dataset class",
    "Images that both models measured; denominator of the flips.",
    unit="images",
    absent=_NOT_COMPARED,
)
COMPARISON_FLIPS = GROUP.family(
    "comparison_flips",
    "gauge",
    "model against dataset direction class",
    "Images that exactly one of the two models classified correctly: fixed or broken by this model.",
    unit="images",
    absent=_NOT_COMPARED,
)
COMPARISON_P_VALUE = GROUP.family(
    "comparison_mcnemar_p_value",
    "gauge",
    "model against dataset class",
    "Two-sided p-value of the exact McNemar test on the flips.",
    unit="ratio",
    absent=f"{_NOT_COMPARED}, or there are no flips",
)


def samples(snapshot: Snapshot) -> Iterator[MetricSample]:
    """Yield flips and tests of the slices with at least one image that both models measured."""
    for (model, dataset), run in snapshot.runs.items():
        for comparison in run.comparisons:
            labels = (model, comparison.against, dataset)
            for name, paired in comparison.slices.items():
                if not paired.images:
                    continue
                yield MetricSample(COMPARISON_IMAGES, (*labels, name), paired.images)
                yield MetricSample(COMPARISON_FLIPS, (*labels, "fixed", name), paired.fixed)
                yield MetricSample(COMPARISON_FLIPS, (*labels, "broken", name), paired.broken)
                yield from optional(COMPARISON_P_VALUE, (*labels, name), paired.p_value)
