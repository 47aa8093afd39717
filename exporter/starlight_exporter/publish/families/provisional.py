"""Metrics of provisional results: a sample of a large dataset, until the complete result replaces it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from starlight_exporter.checks.provisional import CheckedSample
from starlight_exporter.publish.families import rate_slices
from starlight_exporter.publish.families.family import (
    PREFIX,
    Family,
    FamilyGroup,
    MetricSample,
    ProportionFamilies,
    optional,
    proportion_samples,
    short_hash,
)
from starlight_exporter.publish.families.rate_slices import RateSlice
from starlight_exporter.publish.snapshot import Pair, Snapshot

GROUP = FamilyGroup("Provisional results")

_ABSENT: Final = "no evaluation of a large dataset is in progress, or its sample is not measured yet"

INFO = GROUP.family(
    "provisional_info",
    "info",
    "model dataset model_sha256 decision",
    "Model file and decision rule of the provisional result.",
    absent=_ABSENT,
)
TIMESTAMP = GROUP.family(
    "provisional_timestamp_seconds",
    "gauge",
    "model dataset",
    "Unix time at which the sample was measured.",
    unit="seconds",
    absent=_ABSENT,
)
IMAGES = GROUP.family(
    "provisional_images", "gauge", "model dataset", "Images in the sample.", unit="images", absent=_ABSENT
)
DATASET_IMAGES = GROUP.family(
    "provisional_dataset_images",
    "gauge",
    "model dataset",
    "Images in the dataset from which the sample was selected.",
    unit="images",
    absent=_ABSENT,
)
IMAGES_NOT_MEASURED = GROUP.family(
    "provisional_images_not_measured",
    "gauge",
    "model dataset reason",
    "Images of the sample without a verdict, by reason.",
    unit="images",
    absent=_ABSENT,
)


def _proportion(one: RateSlice) -> ProportionFamilies:
    absent = f"{_ABSENT}, or the slice contains no measured image"
    bound = "bound of the 95% confidence interval (Clopper-Pearson, at the effective sample size of shared covers) of"

    def family(name: str, help_text: str, unit: str) -> Family:
        return GROUP.family(f"provisional_{name}", "gauge", one.labels, help_text, unit=unit, absent=absent)

    name = f"{PREFIX}provisional_"
    return ProportionFamilies(
        total=family(one.total, f"Measured {one.images} of the sample.", "images"),
        covers=family(
            one.total.replace("images", "covers"), f"Covers from which the measured {one.images} were made.", "covers"
        ),
        count=family(one.count, f"Measured {one.images} of the sample {one.counted}.", "images"),
        ratio=family(one.ratio, f"{name}{one.count} divided by {name}{one.total}.", "ratio"),
        lower=family(f"{one.ratio}_lower", f"Lower {bound} {name}{one.ratio}.", "ratio"),
        upper=family(f"{one.ratio}_upper", f"Upper {bound} {name}{one.ratio}.", "ratio"),
    )


CLEAN = _proportion(rate_slices.CLEAN)
CLEAN_BY_FORMAT = _proportion(rate_slices.CLEAN_BY_FORMAT)
NEGATIVES = _proportion(rate_slices.NEGATIVES)
STEGO = _proportion(rate_slices.STEGO)

_CHECK = "model dataset check slice"
_NO_RESULT = f"{_ABSENT}, or the check has no result or is disabled"

CHECK_PASSED = GROUP.family(
    "provisional_check_passed",
    "gauge",
    _CHECK,
    "Whether the value of the sample passed this check (1) or failed it (0).",
    absent=_NO_RESULT,
)
CHECK_SIGNIFICANT = GROUP.family(
    "provisional_check_significant",
    "gauge",
    _CHECK,
    "Whether the check failed significantly (1): its adjusted p-value is at most 0.002.",
    absent=_NO_RESULT,
)
CHECK_P_VALUE = GROUP.family(
    "provisional_check_p_value",
    "gauge",
    _CHECK,
    "One-sided p-value of the exact test on the sample, adjusted for all its checks (Holm).",
    unit="ratio",
    absent=f"{_NO_RESULT}, or there is no test",
)
CHECK_ALERTS = GROUP.family(
    "provisional_check_alerts",
    "gauge",
    _CHECK,
    "Whether a significant failure raises an alert (1) or not (0): only on a production model and a dataset with"
    " `alerts`, and only if the check is not informational.",
    absent=_NO_RESULT,
)


def samples(snapshot: Snapshot) -> Iterator[MetricSample]:
    """Yield the provisional results of model files that are in place."""
    for pair in snapshot.runs:
        checked = snapshot.provisional(pair)
        if checked is not None:
            yield from _result(pair, checked)
            yield from _checks(pair, checked, snapshot)


def _result(pair: Pair, checked: CheckedSample) -> Iterator[MetricSample]:
    result, rates = checked.result, checked.rates
    yield MetricSample(INFO, (*pair, short_hash(result.spec.model_sha256), result.spec.decision), 1)
    yield MetricSample(TIMESTAMP, pair, result.finished_at)
    yield MetricSample(IMAGES, pair, checked.images)
    yield MetricSample(DATASET_IMAGES, pair, result.dataset_images)
    for reason, images in rates.not_measured.items():
        yield MetricSample(IMAGES_NOT_MEASURED, (*pair, reason), images)
    yield from proportion_samples(CLEAN, pair, rates.clean)
    for image_format, clean in rates.clean_by_format.items():
        yield from proportion_samples(CLEAN_BY_FORMAT, (*pair, image_format), clean)
    for category, negatives in rates.negatives.items():
        yield from proportion_samples(NEGATIVES, (*pair, category), negatives)
    for method, detections in rates.detections.items():
        yield from proportion_samples(STEGO, (*pair, method), detections)


def _checks(pair: Pair, checked: CheckedSample, snapshot: Snapshot) -> Iterator[MetricSample]:
    model, dataset = pair
    alerts = snapshot.models[model].role == "production" and snapshot.datasets[dataset].alerts
    for check in checked.checks:
        if check.passed is None:
            continue
        labels = (*pair, check.name, check.slice)
        yield MetricSample(CHECK_PASSED, labels, int(check.passed))
        yield MetricSample(CHECK_SIGNIFICANT, labels, int(check.significant is True))
        yield from optional(CHECK_P_VALUE, labels, check.p_value)
        yield MetricSample(CHECK_ALERTS, labels, int(alerts and check.name not in snapshot.limits.informational))
