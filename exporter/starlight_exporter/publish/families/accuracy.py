"""Metrics of classification quality: false positives, detections, confusion, scores, operating points."""

from __future__ import annotations

from collections.abc import Iterator

from starlight_exporter.evaluation.results import Evaluation
from starlight_exporter.publish.families import rate_slices
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
from starlight_exporter.publish.families.rate_slices import RateSlice

GROUP = FamilyGroup("Accuracy")

IMAGES_NOT_MEASURED = GROUP.of_evaluation(
    "images_not_measured",
    "model dataset reason",
    "Images without a verdict, by reason; they are excluded from every other count and ratio.",
    unit="images",
)


def _proportion(one: RateSlice) -> ProportionFamilies:
    """Define the six families of a Proportion."""
    absent = f"{UNTIL_EVALUATED}, or the slice contains no measured image"
    bound = "bound of the 95% confidence interval (Clopper-Pearson, at the effective sample size of shared covers) of"

    def ratio_family(name: str, help_text: str) -> Family:
        return GROUP.of_evaluation(name, one.labels, help_text, unit="ratio", absent=absent)

    return ProportionFamilies(
        total=GROUP.of_evaluation(one.total, one.labels, f"Measured {one.images}.", unit="images"),
        covers=GROUP.of_evaluation(
            one.total.replace("images", "covers"),
            one.labels,
            f"Covers from which the measured {one.images} were made.",
            unit="covers",
        ),
        count=GROUP.of_evaluation(one.count, one.labels, f"Measured {one.images} {one.counted}.", unit="images"),
        ratio=ratio_family(one.ratio, f"{PREFIX}{one.count} divided by {PREFIX}{one.total}."),
        lower=ratio_family(f"{one.ratio}_lower", f"Lower {bound} {PREFIX}{one.ratio}."),
        upper=ratio_family(f"{one.ratio}_upper", f"Upper {bound} {PREFIX}{one.ratio}."),
    )


CLEAN = _proportion(rate_slices.CLEAN)
CLEAN_BY_FORMAT = _proportion(rate_slices.CLEAN_BY_FORMAT)
NEGATIVES = _proportion(rate_slices.NEGATIVES)
STEGO = _proportion(rate_slices.STEGO)
METHOD_PREDICTIONS = GROUP.of_evaluation(
    "method_predictions",
    "model dataset actual predicted",
    "Confusion matrix counts of measured clean and stego images; prediction `clean` is a negative verdict.",
    unit="images",
    absent=f"{UNTIL_EVALUATED}, or the model predicts no method",
)

_ONE_CLASS = f"{UNTIL_EVALUATED}, or no clean or no stego image was measured"
_NO_IMAGE = f"{UNTIL_EVALUATED}, or no clean or stego image was measured"

ROC_AUC = GROUP.of_evaluation(
    "roc_auc",
    "model dataset",
    "Area under the ROC curve of the stego probability, clean against stego images.",
    unit="ratio",
    absent=_ONE_CLASS,
)
LOG_LOSS = GROUP.of_evaluation(
    "log_loss",
    "model dataset",
    "Mean negative log likelihood of the labels under the stego probability (natural logarithm).",
    unit="nats",
    absent=_NO_IMAGE,
)
CALIBRATION_ERROR = GROUP.of_evaluation(
    "expected_calibration_error",
    "model dataset",
    "Mean absolute difference between predicted probability and observed share of stego images, over probability bins.",
    unit="ratio",
    absent=_NO_IMAGE,
)
OPERATING_POINT_FALSE_POSITIVES = GROUP.of_evaluation(
    "operating_point_false_positive_ratio",
    "model dataset threshold",
    "False positive rate if the verdict were probability > threshold, independent of the decision rule.",
    unit="ratio",
    absent=f"{UNTIL_EVALUATED}, or no clean image was measured",
)
OPERATING_POINT_DETECTIONS = GROUP.of_evaluation(
    "operating_point_detection_ratio",
    "model dataset threshold",
    "Detection rate if the verdict were probability > threshold, independent of the decision rule.",
    unit="ratio",
    absent=f"{UNTIL_EVALUATED}, or no stego image was measured",
)


def evaluation_samples(evaluation: Evaluation) -> Iterator[MetricSample]:
    """Yield counts, ratios and scores of one evaluation."""
    pair = (evaluation.model, evaluation.dataset)
    for reason, images in evaluation.not_measured.items():
        yield MetricSample(IMAGES_NOT_MEASURED, (*pair, reason), images)
    yield from proportion_samples(CLEAN, pair, evaluation.clean)
    for image_format, clean in evaluation.clean_by_format.items():
        yield from proportion_samples(CLEAN_BY_FORMAT, (*pair, image_format), clean)
    for category, negatives in evaluation.negatives.items():
        yield from proportion_samples(NEGATIVES, (*pair, category), negatives)
    for method, detections in evaluation.detections.items():
        yield from proportion_samples(STEGO, (*pair, method), detections)
    for actual, counts in evaluation.confusion.items():
        for predicted, images in counts.items():
            yield MetricSample(METHOD_PREDICTIONS, (*pair, actual, predicted), images)
    yield from optional(ROC_AUC, pair, evaluation.roc_auc)
    yield from optional(LOG_LOSS, pair, evaluation.log_loss)
    yield from optional(CALIBRATION_ERROR, pair, evaluation.expected_calibration_error)
    for point in evaluation.operating_points:
        labels = (*pair, number_label(point.threshold))
        yield from optional(OPERATING_POINT_FALSE_POSITIVES, labels, point.false_positives.ratio)
        yield from optional(OPERATING_POINT_DETECTIONS, labels, point.detections.ratio)
