"""Metrics of unlabelled datasets: alarm rate, predicted methods, and drift."""

from __future__ import annotations

from collections.abc import Iterator

from starlight_exporter.evaluation.drift import MAX_P_VALUE, MIN_PSI, Drift
from starlight_exporter.evaluation.results import Evaluation
from starlight_exporter.publish.families.family import UNTIL_EVALUATED, FamilyGroup, MetricSample, optional
from starlight_exporter.publish.snapshot import Snapshot

GROUP = FamilyGroup("Unlabelled data")

_PAIR = "model dataset"
_LABELLED = f"{UNTIL_EVALUATED}, or the dataset is labelled"
_NO_IMAGE = f"{_LABELLED}, or no image was measured"
_NO_METHOD = f"{_LABELLED}, or there is no alarm, or the model predicts no method"
_NO_DRIFT = f"{_LABELLED}, or drift was not measured"

IMAGES = GROUP.of_evaluation(
    "unlabelled_images",
    _PAIR,
    "Files of the unlabelled dataset in its window, measured or not.",
    unit="images",
    absent=_LABELLED,
)
OUTSIDE_WINDOW = GROUP.of_evaluation(
    "unlabelled_images_outside_window",
    _PAIR,
    "Files of the unlabelled dataset that are not in its window.",
    unit="images",
    absent=_LABELLED,
)
NOT_MEASURED = GROUP.of_evaluation(
    "unlabelled_images_not_measured",
    f"{_PAIR} reason",
    "Images in the window without a verdict, by reason; they are excluded from the alarm rate.",
    unit="images",
    absent=_LABELLED,
)
MEASURED = GROUP.of_evaluation(
    "unlabelled_measured_images", _PAIR, "Measured images in the window.", unit="images", absent=_LABELLED
)
ALARMS = GROUP.of_evaluation(
    "unlabelled_alarms", _PAIR, "Measured images in the window classified as stego.", unit="images", absent=_LABELLED
)
ALARM_RATIO = GROUP.of_evaluation(
    "unlabelled_alarm_ratio",
    _PAIR,
    f"{ALARMS.name} divided by {MEASURED.name}.",
    unit="ratio",
    absent=_NO_IMAGE,
)
ALARM_RATIO_LOWER = GROUP.of_evaluation(
    "unlabelled_alarm_ratio_lower",
    _PAIR,
    f"Lower bound of the exact (Clopper-Pearson) 95% confidence interval of {ALARM_RATIO.name}.",
    unit="ratio",
    absent=_NO_IMAGE,
)
ALARM_RATIO_UPPER = GROUP.of_evaluation(
    "unlabelled_alarm_ratio_upper",
    _PAIR,
    f"Upper bound of the exact (Clopper-Pearson) 95% confidence interval of {ALARM_RATIO.name}.",
    unit="ratio",
    absent=_NO_IMAGE,
)
METHOD_SHARE = GROUP.of_evaluation(
    "unlabelled_method_share_ratio",
    f"{_PAIR} method",
    f"Share of {ALARMS.name} with this predicted method.",
    unit="ratio",
    absent=_NO_METHOD,
)
DRIFT_PSI = GROUP.of_evaluation(
    "drift_psi",
    f"{_PAIR} fact",
    "Population stability index of a fact or the score, compared with the clean images of the drift reference.",
    absent=_NO_DRIFT,
)
DRIFT_P_VALUE = GROUP.of_evaluation(
    "drift_p_value",
    f"{_PAIR} fact",
    "p-value of the Kolmogorov-Smirnov test of the same samples, adjusted for all facts and the score"
    " (Benjamini-Hochberg).",
    absent=_NO_DRIFT,
)
DRIFT_DETECTED = GROUP.of_evaluation(
    "drift_detected",
    _PAIR,
    f"Whether a fact or the score has drifted (1): {DRIFT_P_VALUE.name} below {MAX_P_VALUE:g} and {DRIFT_PSI.name} at"
    f" least {MIN_PSI:g}.",
    absent=_NO_DRIFT,
)
DRIFT_REFERENCE_INFO = GROUP.of_evaluation(
    "drift_reference_info",
    f"{_PAIR} reference",
    "Labelled dataset with whose clean images the images were compared; always 1.",
    kind="info",
    absent=_NO_DRIFT,
)
DRIFT_UNAVAILABLE = GROUP.of_evaluation(
    "drift_unavailable",
    f"{_PAIR} reason",
    "Why drift was not measured; always 1.",
    absent=f"{_LABELLED}, or drift was measured",
)


def samples(snapshot: Snapshot) -> Iterator[MetricSample]:
    """Yield the samples of the last complete evaluations on unlabelled datasets."""
    for evaluation in snapshot.unlabelled_evaluations():
        yield from evaluation_samples(evaluation)


def evaluation_samples(evaluation: Evaluation) -> Iterator[MetricSample]:
    """Yield alarm rate, predicted methods and drift of one evaluation; nothing for a labelled dataset."""
    result = evaluation.unlabelled
    if result is None:
        return
    pair = (evaluation.model, evaluation.dataset)
    yield MetricSample(IMAGES, pair, result.images)
    yield MetricSample(OUTSIDE_WINDOW, pair, result.images_outside_window)
    for reason, images in evaluation.not_measured.items():
        yield MetricSample(NOT_MEASURED, (*pair, reason), images)
    yield MetricSample(MEASURED, pair, result.alarms.total)
    yield MetricSample(ALARMS, pair, result.alarms.count)
    yield from optional(ALARM_RATIO, pair, result.alarms.ratio)
    yield from optional(ALARM_RATIO_LOWER, pair, result.alarms.lower)
    yield from optional(ALARM_RATIO_UPPER, pair, result.alarms.upper)
    for method, share in result.methods.items():
        yield from optional(METHOD_SHARE, (*pair, method), share.ratio)
    yield from _drift_samples(pair, result.drift)


def _drift_samples(pair: tuple[str, str], drift: Drift) -> Iterator[MetricSample]:
    if drift.unavailable is not None:
        yield MetricSample(DRIFT_UNAVAILABLE, (*pair, drift.unavailable), 1)
        return
    for name, variable in drift.variables.items():
        yield MetricSample(DRIFT_PSI, (*pair, name), variable.psi)
        yield MetricSample(DRIFT_P_VALUE, (*pair, name), variable.p_value)
    yield MetricSample(DRIFT_DETECTED, pair, int(bool(drift.drifted)))
    yield MetricSample(DRIFT_REFERENCE_INFO, (*pair, drift.reference or ""), 1)
