"""Metrics by payload: detections by embedding rate, the rate at which detection reaches a level, and slices."""

from __future__ import annotations

from collections.abc import Iterator

from starlight_exporter.evaluation.payload_results import PayloadResult
from starlight_exporter.evaluation.results import Evaluation
from starlight_exporter.publish.families.family import (
    PREFIX,
    UNTIL_EVALUATED,
    Family,
    FamilyGroup,
    MetricSample,
    ProportionFamilies,
    number_label,
    optional,
    proportion_samples,
)

GROUP = FamilyGroup("Payload")

_NO_PAYLOAD = f"{UNTIL_EVALUATED}, or no image of the slice was measured"
_UNIT = "bits per pixel (alpha, lsb), bits per index (palette), or bytes of the payload"


def _proportion(prefix: str, labels: str, images: str, positive: str, ratio: str, *, by: str) -> ProportionFamilies:
    """Define the six families of a Proportion: `images` and `positive` are names, `by` completes the help texts."""
    bound = "bound of the 95% confidence interval (Clopper-Pearson, at the effective sample size of shared covers) of"

    def family(name: str, help_text: str, unit: str) -> Family:
        return GROUP.of_evaluation(f"{prefix}_{name}", labels, help_text, unit=unit, absent=_NO_PAYLOAD)

    total, count = f"{images}_images", positive
    return ProportionFamilies(
        total=family(total, f"Measured {images} images {by}.", "images"),
        covers=family(f"{images}_covers", f"Covers from which the measured {images} images {by} were made.", "covers"),
        count=family(count, f"Measured {images} images {by}, classified as stego.", "images"),
        ratio=family(ratio, f"{PREFIX}{prefix}_{count} divided by {PREFIX}{prefix}_{total}.", "ratio"),
        lower=family(f"{ratio}_lower", f"Lower {bound} {PREFIX}{prefix}_{ratio}.", "ratio"),
        upper=family(f"{ratio}_upper", f"Upper {bound} {PREFIX}{prefix}_{ratio}.", "ratio"),
    )


_BIN_LABELS = "model dataset method embedding_rate"
_LEVEL_LABELS = "model dataset method detection"

BINS = _proportion("payload", _BIN_LABELS, "stego", "detections", "detection_ratio", by="by method and embedding rate")
MEAN_RATE = GROUP.of_evaluation(
    "payload_mean_rate",
    _BIN_LABELS,
    "Mean embedding rate of the measured stego images in the bin.",
    unit=_UNIT,
    absent=_NO_PAYLOAD,
)
UNKNOWN = GROUP.of_evaluation(
    "payload_unknown_images",
    "model dataset method",
    "Measured stego images of a method without a known embedding rate; absent for methods without any known rate.",
    unit="images",
    absent=_NO_PAYLOAD,
)
THRESHOLD = GROUP.of_evaluation(
    "payload_threshold_rate",
    _LEVEL_LABELS,
    "Embedding rate at which the detection rate reaches `detection` (isotonic regression).",
    unit=_UNIT,
    absent=f"{UNTIL_EVALUATED}, or the detection rate does not cross the level at the measured rates",
)
_BOUND = "95% confidence interval (likelihood ratio, at the effective sample size of shared covers) of"
_UNBOUNDED = f"{UNTIL_EVALUATED}, or the interval is not bounded by the measured rates"
THRESHOLD_LOWER = GROUP.of_evaluation(
    "payload_threshold_rate_lower",
    _LEVEL_LABELS,
    f"Lower bound of the {_BOUND} {THRESHOLD.name}.",
    unit=_UNIT,
    absent=_UNBOUNDED,
)
THRESHOLD_UPPER = GROUP.of_evaluation(
    "payload_threshold_rate_upper",
    _LEVEL_LABELS,
    f"Upper bound of the {_BOUND} {THRESHOLD.name}.",
    unit=_UNIT,
    absent=_UNBOUNDED,
)
NOT_MEASURED = GROUP.of_evaluation(
    "payload_not_measured",
    f"{_LEVEL_LABELS} reason",
    f"Why {THRESHOLD.name} is not measured, always 1; `method` and `detection` are empty if no rate is known.",
    absent=f"{UNTIL_EVALUATED}, or it is measured",
)

_SLICE_LABELS = "model dataset property value"
_BY_PROPERTY = "by a property of the image"

SLICE_DETECTIONS = _proportion(
    "payload_slice", _SLICE_LABELS, "stego", "detections", "detection_ratio", by=_BY_PROPERTY
)
SLICE_FALSE_POSITIVES = _proportion(
    "payload_slice", _SLICE_LABELS, "clean", "false_positives", "false_positive_ratio", by=_BY_PROPERTY
)


def evaluation_samples(evaluation: Evaluation) -> Iterator[MetricSample]:
    """Yield the results by payload of one evaluation."""
    if evaluation.payload is not None:
        pair = (evaluation.model, evaluation.dataset)
        yield from _rate_samples(pair, evaluation.payload)
        yield from _slice_samples(pair, evaluation.payload)


def _rate_samples(pair: tuple[str, str], payload: PayloadResult) -> Iterator[MetricSample]:
    if payload.not_measured is not None:
        yield MetricSample(NOT_MEASURED, (*pair, "", "", payload.not_measured), 1)
    for method, result in payload.methods.items():
        for part in result.bins:
            labels = (*pair, method, part.name)
            yield from proportion_samples(BINS, labels, part.detections)
            yield MetricSample(MEAN_RATE, labels, part.mean_rate)
        yield MetricSample(UNKNOWN, (*pair, method), result.unknown)
        for at in result.thresholds:
            labels = (*pair, method, number_label(at.level))
            yield from optional(THRESHOLD, labels, at.dose)
            yield from optional(THRESHOLD_LOWER, labels, at.lower)
            yield from optional(THRESHOLD_UPPER, labels, at.upper)
            if at.reason is not None:
                yield MetricSample(NOT_MEASURED, (*labels, at.reason), 1)


def _slice_samples(pair: tuple[str, str], payload: PayloadResult) -> Iterator[MetricSample]:
    for name, slices in payload.slices.items():
        for one in slices:
            if one.detections is not None:
                yield from proportion_samples(SLICE_DETECTIONS, (*pair, name, one.name), one.detections)
            if one.false_positives is not None:
                yield from proportion_samples(SLICE_FALSE_POSITIVES, (*pair, name, one.name), one.false_positives)
