"""Metrics of the datasets: contents, shortcuts, leakage, and gaps between sources."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from starlight_exporter.analysis.source_gaps import Gap, dataset_gaps, format_gaps
from starlight_exporter.dataset.dataset import SliceCount
from starlight_exporter.evaluation.results import Evaluation
from starlight_exporter.publish.families.family import (
    NOT_CONFIGURED,
    UNTIL_EVALUATED,
    FamilyGroup,
    MetricSample,
    optional,
    short_hash,
)
from starlight_exporter.publish.snapshot import Snapshot, newest_by

GROUP = FamilyGroup("Data")

_NO_STEGO = f"{UNTIL_EVALUATED}, or the dataset has no labelled stego image"

DATASET_INFO = GROUP.of_evaluation(
    "dataset_info",
    "dataset fingerprint",
    "Dataset of the last complete evaluation; the fingerprint (12 digits) covers every path, label and content.",
    kind="info",
)
DATASET_CHANGED_TIMESTAMP = GROUP.family(
    "dataset_changed_timestamp_seconds",
    "gauge",
    "dataset",
    "Time at which the exporter last detected a change of the dataset.",
    unit="UTC seconds",
    absent="until the first detected change",
)
DATASET_ALERTS = GROUP.family(
    "dataset_alerts",
    "gauge",
    "dataset",
    "Whether failed checks on this dataset raise alerts (1) or not (0): `alerts` in its configuration.",
    absent=NOT_CONFIGURED,
)
DATASET_LABELLED = GROUP.family(
    "dataset_labelled",
    "gauge",
    "dataset",
    "Whether the dataset is labelled (1) or unlabelled (0): `labelled` in its configuration.",
    absent=NOT_CONFIGURED,
)
DATASET_IMAGES = GROUP.of_evaluation(
    "dataset_images",
    "dataset class method format",
    "Files of the dataset; `method` is `none` for other classes than stego, and `unlabelled` for stego files without a"
    " method.",
    unit="images",
)
DATASET_METHOD_SHARE = GROUP.of_evaluation(
    "dataset_method_share_ratio",
    "dataset method",
    "Share of the labelled stego files that use this method.",
    unit="ratio",
    absent=_NO_STEGO,
)
# Not "…_entropy_bits": promtool's lint takes "bits" for a data size that should be in bytes.
DATASET_ENTROPY = GROUP.of_evaluation(
    "dataset_entropy",
    "dataset",
    "Shannon entropy of the method shares.",
    unit="bits of information",
    absent=_NO_STEGO,
)
DATASET_ENTROPY_MAX = GROUP.of_evaluation(
    "dataset_entropy_max",
    "dataset",
    "Maximum entropy of the method shares: log2 of the number of methods.",
    unit="bits of information",
)
DATASET_DUPLICATES = GROUP.of_evaluation(
    "dataset_duplicate_images",
    "dataset",
    "Files whose bytes equal those of another file, not counting the first of each group.",
    unit="images",
)
DATASET_IGNORED = GROUP.of_evaluation(
    "dataset_ignored_files",
    "dataset",
    "Files and folders in the class folders of the dataset that are ignored by their names.",
    unit="files",
    absent=f"{UNTIL_EVALUATED}, or it was stored by a version that did not count them",
)

_NO_SHORTCUT = f"{UNTIL_EVALUATED}, or there are fewer than ten files of the method or fewer than ten clean files"
_SHORTCUT = "by the best single-feature rule, cross-validated"

DATASET_SHORTCUT = GROUP.of_evaluation(
    "dataset_shortcut_ratio",
    "dataset method",
    f"Detection rate of the method {_SHORTCUT}.",
    unit="ratio",
    absent=_NO_SHORTCUT,
)
DATASET_SHORTCUT_LOWER = GROUP.of_evaluation(
    "dataset_shortcut_ratio_lower",
    "dataset method",
    f"Lower bound of the exact (Clopper-Pearson) 95% confidence interval of {DATASET_SHORTCUT.name}.",
    unit="ratio",
    absent=_NO_SHORTCUT,
)
DATASET_SHORTCUT_UPPER = GROUP.of_evaluation(
    "dataset_shortcut_ratio_upper",
    "dataset method",
    f"Upper bound of the exact (Clopper-Pearson) 95% confidence interval of {DATASET_SHORTCUT.name}.",
    unit="ratio",
    absent=_NO_SHORTCUT,
)
DATASET_SHORTCUT_FALSE_ALARMS = GROUP.of_evaluation(
    "dataset_shortcut_false_alarm_ratio",
    "dataset method",
    f"Share of the clean files classified as this method {_SHORTCUT}.",
    unit="ratio",
    absent=_NO_SHORTCUT,
)
DATASET_SHORTCUT_J = GROUP.of_evaluation(
    "dataset_shortcut_youden_j",
    "dataset method",
    f"{DATASET_SHORTCUT.name} minus {DATASET_SHORTCUT_FALSE_ALARMS.name}.",
    unit="ratio",
    absent=_NO_SHORTCUT,
)
DATASET_SHORTCUT_J_LOWER = GROUP.of_evaluation(
    "dataset_shortcut_youden_j_lower",
    "dataset method",
    f"Lower limit of the 95% confidence interval of {DATASET_SHORTCUT_J.name}.",
    unit="ratio",
    absent=_NO_SHORTCUT,
)
DATASET_SHORTCUT_P_VALUE = GROUP.of_evaluation(
    "dataset_shortcut_p_value",
    "dataset method",
    "p-value of the best single-feature rule in a permutation test, adjusted for all features and methods.",
    absent=_NO_SHORTCUT,
)
DATASET_SHORTCUT_INFO = GROUP.of_evaluation(
    "dataset_shortcut_info",
    "dataset method fact",
    "File property used by the best single-feature rule over all files; always 1.",
    kind="info",
    absent=_NO_SHORTCUT,
)
DATASET_LEAKED = GROUP.of_evaluation(
    "dataset_leaked_images",
    "model dataset",
    "Files of the dataset whose bytes are in the model's manifest of training files.",
    unit="images",
    absent=f"{UNTIL_EVALUATED}, or neither the model nor a model with a card and the same bytes has a manifest",
)

_NO_GAP = "there is no other format or dataset to compare with"
_GAP_LABELS = "model dataset format rate"

SOURCE_GAP = GROUP.family(
    "source_gap_ratio",
    "gauge",
    _GAP_LABELS,
    "Rate on this slice minus the rate of the same model on the rest: a format against the other formats of the"
    " dataset, or (empty `format`) the dataset against the other datasets.",
    unit="ratio",
    absent=_NO_GAP,
)
SOURCE_GAP_LOWER = GROUP.family(
    "source_gap_ratio_lower",
    "gauge",
    _GAP_LABELS,
    f"Lower bound of the 95% confidence interval (Newcombe) of {SOURCE_GAP.name}.",
    unit="ratio",
    absent=_NO_GAP,
)
SOURCE_GAP_UPPER = GROUP.family(
    "source_gap_ratio_upper",
    "gauge",
    _GAP_LABELS,
    f"Upper bound of the 95% confidence interval (Newcombe) of {SOURCE_GAP.name}.",
    unit="ratio",
    absent=_NO_GAP,
)
SOURCE_GAP_P_VALUE = GROUP.family(
    "source_gap_p_value",
    "gauge",
    _GAP_LABELS,
    "Two-sided p-value of Fisher's exact test for no difference between the slice and the rest.",
    absent=_NO_GAP,
)


def samples(snapshot: Snapshot) -> Iterator[MetricSample]:
    """Yield the samples of the datasets, and of every model on them."""
    for dataset in snapshot.datasets.values():
        yield MetricSample(DATASET_ALERTS, (dataset.name,), int(dataset.alerts))
        yield MetricSample(DATASET_LABELLED, (dataset.name,), int(dataset.labelled))
        yield from optional(DATASET_CHANGED_TIMESTAMP, (dataset.name,), dataset.changed_at)
    evaluations = snapshot.evaluations()
    for evaluation in newest_by(evaluations, lambda evaluation: evaluation.dataset):
        yield from _dataset_samples(evaluation)
    for evaluation in evaluations:
        yield from _leakage_samples(evaluation)
        yield from _gap_samples(format_gaps(evaluation))
    yield from _gap_samples(dataset_gaps(evaluations))


def evaluation_samples(evaluation: Evaluation) -> Iterator[MetricSample]:
    """Yield the samples of the dataset of one evaluation."""
    yield from _dataset_samples(evaluation)
    yield from _leakage_samples(evaluation)


def _dataset_samples(evaluation: Evaluation) -> Iterator[MetricSample]:
    dataset = (evaluation.dataset,)
    quality = evaluation.quality
    yield MetricSample(DATASET_INFO, (*dataset, short_hash(evaluation.provenance.dataset_fingerprint)), 1)
    for part in quality.counts:
        labels = (*dataset, part.file_class, _method_label(part), part.image_format or "unknown")
        yield MetricSample(DATASET_IMAGES, labels, part.images)
    for method, share in quality.method_shares.items():
        yield MetricSample(DATASET_METHOD_SHARE, (*dataset, method), share)
    yield from optional(DATASET_ENTROPY, dataset, quality.entropy_bits)
    yield MetricSample(DATASET_ENTROPY_MAX, dataset, quality.entropy_max_bits)
    yield MetricSample(DATASET_DUPLICATES, dataset, quality.duplicate_images)
    yield from optional(DATASET_IGNORED, dataset, quality.ignored_files)
    for method, shortcut in evaluation.shortcuts.items():
        of_method = (*dataset, method)
        yield from optional(DATASET_SHORTCUT, of_method, shortcut.detected.ratio)
        yield from optional(DATASET_SHORTCUT_LOWER, of_method, shortcut.detected.lower)
        yield from optional(DATASET_SHORTCUT_UPPER, of_method, shortcut.detected.upper)
        yield from optional(DATASET_SHORTCUT_FALSE_ALARMS, of_method, shortcut.false_positives.ratio)
        yield from optional(DATASET_SHORTCUT_J, of_method, shortcut.youden_j)
        yield from optional(DATASET_SHORTCUT_J_LOWER, of_method, shortcut.youden_j_lower)
        yield from optional(DATASET_SHORTCUT_P_VALUE, of_method, shortcut.p_value)
        yield MetricSample(DATASET_SHORTCUT_INFO, (*of_method, shortcut.fact), 1)


def _leakage_samples(evaluation: Evaluation) -> Iterator[MetricSample]:
    yield from optional(DATASET_LEAKED, (evaluation.model, evaluation.dataset), evaluation.leaked_images)


def _gap_samples(gaps: Iterable[Gap]) -> Iterator[MetricSample]:
    for gap in gaps:
        labels = (gap.model, gap.dataset, gap.image_format or "", gap.rate)
        yield MetricSample(SOURCE_GAP, labels, gap.difference)
        yield MetricSample(SOURCE_GAP_LOWER, labels, gap.lower)
        yield MetricSample(SOURCE_GAP_UPPER, labels, gap.upper)
        yield MetricSample(SOURCE_GAP_P_VALUE, labels, gap.p_value)


def _method_label(part: SliceCount) -> str:
    if part.method is not None:
        return part.method
    return "unlabelled" if part.file_class == "stego" else "none"
