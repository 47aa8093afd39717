"""Recorded baseline: the results of an accepted model in a file, and what they are comparable with.

    {"fpr": 0.32,
     "detection_rates": {"lsb": 98.1, "alpha": 99.2, "palette": 97.9, "exif": 99.8, "eoi": 99.5},
     "performance": {"p50_ms": 2.1, "p95_ms": 3.4, "p99_ms": 4.4, "throughput_imgs_per_sec": 410},
     "fpr_by_format": {"jpeg": 0.1, "png": 0.5, "gif": 0.3, "webp": 0.2, "bmp": 0.2},
     "fpr_by_category": {"natural_lsb": 0.0},
     "counts": {…}, "provenance": {…}, "machine": {…}, "misclassified": ["SHA-256", …]}

Rates are in percent. Values that are omitted or null are not checked. Unknown and duplicate keys are errors.
`baseline_recording` writes these files.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

from starlight_exporter.checks.baseline_reading import (
    category_rates,
    check_misclassified,
    counts_from,
    detection_rates,
    false_positive_rate,
    format_rates,
    latency_seconds,
    machine_from,
    provenance_from,
    throughput,
)
from starlight_exporter.checks.machine import Machine
from starlight_exporter.checks.recorded_parts import RecordedCounts, RecordedProvenance
from starlight_exporter.checks.strict_json import read_json_object
from starlight_exporter.detector.contract import ImageFormat, Method
from starlight_exporter.errors import BaselineError
from starlight_exporter.evaluation.spec import EvaluationSpec

KEYS: Final = (
    "fpr",
    "detection_rates",
    "performance",
    "fpr_by_format",
    "fpr_by_category",
    "counts",
    "provenance",
    "machine",
    "misclassified",
)
_VALUES: Final = ("fpr", "detection_rates", "performance", "fpr_by_format")

ObstacleReason = Literal["different_images", "different_rule", "different_machine"]


@dataclass(frozen=True, slots=True)
class Baseline:
    """Content of a baseline file in ratios 0..1 and seconds; an omitted value is None or has no entry.

    Percent and milliseconds are converted in decimal, so that 0.05 in the file is exactly 0.0005 here. `misclassified`
    are the SHA-256 of the files with a wrong verdict.
    """

    false_positive_ratio: float | None = None
    detection_ratios: Mapping[Method, float] = field(default_factory=dict)
    latency_seconds: Mapping[float, float] = field(default_factory=dict)
    throughput: float | None = None
    false_positive_ratio_by_format: Mapping[ImageFormat, float] = field(default_factory=dict)
    false_positive_ratio_by_category: Mapping[str, float] = field(default_factory=dict)
    counts: RecordedCounts = field(default_factory=RecordedCounts)
    provenance: RecordedProvenance | None = None
    machine: Machine | None = None
    misclassified: frozenset[str] | None = None


def read_baseline(path: Path) -> Baseline:
    """Read and validate a baseline file. Raise BaselineError, which names the file and the key."""
    top = read_json_object(path, KEYS)
    if not any(key in top.values for key in _VALUES):
        raise BaselineError(f"{path}: holds none of {', '.join(_VALUES)}")
    counts = counts_from(top)
    provenance = provenance_from(top)
    misclassified = top.sha256_set("misclassified")
    if misclassified is not None:
        check_misclassified(top, len(misclassified), counts)
    return Baseline(
        false_positive_ratio=false_positive_rate(top, "fpr", counts.clean),
        detection_ratios=detection_rates(top, counts),
        latency_seconds=latency_seconds(top),
        throughput=throughput(top),
        false_positive_ratio_by_format=format_rates(top, counts),
        false_positive_ratio_by_category=category_rates(top, counts),
        counts=counts,
        provenance=provenance,
        machine=machine_from(top, provenance),
        misclassified=misclassified,
    )


def obstacle(baseline: Baseline, spec: EvaluationSpec) -> tuple[ObstacleReason, str] | None:
    """Return why recorded values are not comparable with an evaluation of this spec; None if they are.

    Compares the images and the decision rule; a file that does not state them is not comparable.
    """
    recorded = baseline.provenance or RecordedProvenance()
    if recorded.dataset_fingerprint is None:
        return "different_images", "the recorded baseline has no dataset fingerprint"
    if recorded.dataset_fingerprint != spec.dataset_fingerprint:
        return (
            "different_images",
            f"the baseline was recorded on other images (dataset fingerprint {recorded.dataset_fingerprint[:12]},"
            f" not {spec.dataset_fingerprint[:12]})",
        )
    if None not in (recorded.dataset_generator, spec.dataset_generator) and (
        recorded.dataset_generator != spec.dataset_generator
    ):
        return (
            "different_images",
            f"the baseline was recorded on images of another version of their generator ({recorded.dataset_generator},"
            f" not {spec.dataset_generator})",
        )
    if recorded.decision is None:
        return "different_rule", "the recorded baseline has no decision rule"
    if recorded.decision != spec.decision:
        return (
            "different_rule",
            f"the baseline was recorded with another decision rule ({recorded.decision}; not {spec.decision})",
        )
    return None


def latency_obstacle(baseline: Baseline, machine: Machine) -> tuple[ObstacleReason, str] | None:
    """Return why recorded latencies are not comparable with those of a machine; None if they are.

    Images and decision rule have to be comparable as well (`obstacle`).
    """
    if baseline.machine is None:
        return "different_machine", "the recorded baseline does not describe its machine"
    if found := baseline.machine.differences(machine):
        return "different_machine", f"the baseline was recorded on another machine: {found}"
    return None
