"""From results to samples: which value goes into which family under which labels. Nothing here computes a rate."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from starlight_exporter.analysis.comparison import Comparison
from starlight_exporter.analysis.source_gaps import Gap
from starlight_exporter.analysis.stream_effects import AblationStudy
from starlight_exporter.checks.baseline import Baseline
from starlight_exporter.dataset.dataset import SliceCount
from starlight_exporter.evaluation.results import Evaluation, Execution
from starlight_exporter.models.training_log import TrainingEpoch
from starlight_exporter.publish import metrics
from starlight_exporter.publish.metrics import Family, ProportionFamilies
from starlight_exporter.statistics.intervals import Proportion

HASH_DIGITS = 12


class Row(NamedTuple):
    """One sample: label values in the family's order. `suffix` and `le` are for the parts of a histogram alone."""

    family: Family
    labels: tuple[str, ...]
    value: float
    suffix: str = ""
    le: str | None = None


def short_hash(sha256: str) -> str:
    """The first 12 digits: enough to tell files apart, short enough to read."""
    return sha256[:HASH_DIGITS]


def number_label(value: float) -> str:
    """A number as a label value, free of float noise: 0.1 + 0.05 gives `0.15`."""
    return f"{value:.12g}"


def optional(family: Family, labels: tuple[str, ...], value: float | None) -> Iterator[Row]:
    """One row, or none where the value was not measured."""
    if value is not None:
        yield Row(family, labels, value)


def proportion_rows(families: ProportionFamilies, labels: tuple[str, ...], proportion: Proportion) -> Iterator[Row]:
    """Both counts always, the ratio and its bounds only where something was measured."""
    yield Row(families.total, labels, proportion.total)
    yield Row(families.count, labels, proportion.count)
    yield from optional(families.ratio, labels, proportion.ratio)
    yield from optional(families.lower, labels, proportion.lower)
    yield from optional(families.upper, labels, proportion.upper)


def evaluation_rows(evaluation: Evaluation) -> Iterator[Row]:
    """Every sample that an evaluation gives by itself: of its model on its dataset, of its data and of its training."""
    yield from run_rows(evaluation)
    yield from accuracy_rows(evaluation)
    yield from latency_rows(evaluation)
    yield from dataset_rows(evaluation)
    yield from leakage_rows(evaluation)
    yield from training_rows(evaluation)


def run_rows(evaluation: Evaluation) -> Iterator[Row]:
    """When the evaluation ended, how long it took, and what it was made with."""
    pair = (evaluation.model, evaluation.dataset)
    provenance = evaluation.provenance
    yield Row(metrics.EVALUATION_TIMESTAMP, pair, evaluation.finished_at)
    yield Row(metrics.EVALUATION_DURATION, pair, evaluation.duration_seconds)
    # 0 stands for no image that was measured, which is not a speed.
    yield from optional(metrics.EVALUATION_SPEED, pair, evaluation.images_per_second or None)
    yield from _execution_rows(pair, evaluation.execution)
    hashes = (short_hash(provenance.model_sha256), short_hash(provenance.dataset_fingerprint))
    card = "" if evaluation.origin is None else evaluation.origin.folder
    yield Row(metrics.EVALUATION_INFO, (*pair, *hashes, provenance.decision, card), 1)


def _execution_rows(pair: tuple[str, str], execution: Execution | None) -> Iterator[Row]:
    if execution is None:
        return
    yield Row(metrics.EVALUATION_STAGED, pair, int(execution.full_model_reason is None))
    yield Row(metrics.EVALUATION_CACHED_IMAGES, pair, execution.cached_images)
    yield Row(metrics.EVALUATION_DECODED_IMAGES, pair, execution.decoded_images)
    if execution.cache_bytes is not None:
        yield Row(metrics.EVALUATION_CACHE_BYTES, pair, execution.cache_bytes)
        yield Row(metrics.EVALUATION_CACHE_WRITABLE, pair, int(execution.cache_problem is None))


def accuracy_rows(evaluation: Evaluation) -> Iterator[Row]:
    """Counts, ratios and scores; ratios of empty slices are left out."""
    pair = (evaluation.model, evaluation.dataset)
    for reason, images in evaluation.not_measured.items():
        yield Row(metrics.NOT_MEASURED, (*pair, reason), images)
    yield from proportion_rows(metrics.CLEAN, pair, evaluation.clean)
    for image_format, clean in evaluation.clean_by_format.items():
        yield from proportion_rows(metrics.CLEAN_BY_FORMAT, (*pair, image_format), clean)
    for category, negatives in evaluation.negatives.items():
        yield from proportion_rows(metrics.NEGATIVES, (*pair, category), negatives)
    for method, detections in evaluation.detections.items():
        yield from proportion_rows(metrics.STEGO, (*pair, method), detections)
    for actual, counts in evaluation.confusion.items():
        for predicted, images in counts.items():
            yield Row(metrics.METHOD_PREDICTIONS, (*pair, actual, predicted), images)
    yield from optional(metrics.ROC_AUC, pair, evaluation.roc_auc)
    yield from optional(metrics.LOG_LOSS, pair, evaluation.log_loss)
    yield from optional(metrics.CALIBRATION_ERROR, pair, evaluation.expected_calibration_error)
    for point in evaluation.operating_points:
        labels = (*pair, number_label(point.threshold))
        yield from optional(metrics.OPERATING_POINT_FALSE_POSITIVES, labels, point.false_positives.ratio)
        yield from optional(metrics.OPERATING_POINT_DETECTIONS, labels, point.detections.ratio)


def latency_rows(evaluation: Evaluation) -> Iterator[Row]:
    """Quantiles and throughput of the evaluation's own latency run."""
    pair = (evaluation.model, evaluation.dataset)
    if evaluation.latency is None:
        return
    for quantile in evaluation.latency.quantiles:
        labels = (*pair, number_label(quantile.quantile))
        yield Row(metrics.LATENCY, labels, quantile.seconds)
        yield from optional(metrics.LATENCY_LOWER, labels, quantile.lower)
        yield from optional(metrics.LATENCY_UPPER, labels, quantile.upper)
    yield Row(metrics.LATENCY_IMAGES, pair, evaluation.latency.images)
    yield Row(metrics.THROUGHPUT, pair, evaluation.latency.throughput)


def dataset_rows(evaluation: Evaluation) -> Iterator[Row]:
    """What the evaluation found its dataset to hold."""
    dataset = (evaluation.dataset,)
    quality = evaluation.quality
    yield Row(metrics.DATASET_INFO, (*dataset, short_hash(evaluation.provenance.dataset_fingerprint)), 1)
    for part in quality.counts:
        labels = (*dataset, part.file_class, _method_label(part), part.image_format or "unknown")
        yield Row(metrics.DATASET_IMAGES, labels, part.images)
    for method, share in quality.method_shares.items():
        yield Row(metrics.DATASET_METHOD_SHARE, (*dataset, method), share)
    yield from optional(metrics.DATASET_ENTROPY, dataset, quality.entropy_bits)
    yield Row(metrics.DATASET_ENTROPY_MAX, dataset, quality.entropy_max_bits)
    yield Row(metrics.DATASET_DUPLICATES, dataset, quality.duplicate_images)
    for method, shortcut in evaluation.shortcuts.items():
        of_method = (*dataset, method)
        yield from optional(metrics.DATASET_SHORTCUT, of_method, shortcut.found.ratio)
        yield from optional(metrics.DATASET_SHORTCUT_LOWER, of_method, shortcut.found.lower)
        yield from optional(metrics.DATASET_SHORTCUT_UPPER, of_method, shortcut.found.upper)
        yield from optional(metrics.DATASET_SHORTCUT_FALSE_ALARMS, of_method, shortcut.false_alarms.ratio)
        yield Row(metrics.DATASET_SHORTCUT_INFO, (*of_method, shortcut.fact), 1)


def leakage_rows(evaluation: Evaluation) -> Iterator[Row]:
    """How many of the images the model was trained on, where it says so."""
    yield from optional(metrics.DATASET_LEAKED, (evaluation.model, evaluation.dataset), evaluation.leaked_images)


def gap_rows(gaps: Iterable[Gap]) -> Iterator[Row]:
    """How far a model's rates differ between datasets and formats."""
    for gap in gaps:
        labels = (gap.model, gap.dataset, gap.image_format or "", gap.rate)
        yield Row(metrics.SOURCE_GAP, labels, gap.difference)
        yield Row(metrics.SOURCE_GAP_LOWER, labels, gap.lower)
        yield Row(metrics.SOURCE_GAP_UPPER, labels, gap.upper)
        yield Row(metrics.SOURCE_GAP_P_VALUE, labels, gap.p_value)


def training_rows(evaluation: Evaluation) -> Iterator[Row]:
    """The last epoch of the model's training log, what its curves say, and the curves."""
    training = evaluation.training
    model = (evaluation.model,)
    if training is None:
        return
    yield Row(metrics.TRAINING_EPOCHS, model, len(training.epochs))
    if training.epochs:
        last = training.epochs[-1]
        yield from optional(metrics.TRAINING_LOSS, (*model, "train"), last.train_loss)
        yield from optional(metrics.TRAINING_LOSS, (*model, "validation"), last.validation_loss)
        yield from optional(metrics.TRAINING_ACCURACY, (*model, "train"), last.train_accuracy)
        yield from optional(metrics.TRAINING_ACCURACY, (*model, "validation"), last.validation_accuracy)
    yield Row(metrics.TRAINING_DIVERGED, model, int(training.diverged))
    yield from optional(metrics.TRAINING_CONVERGENCE_RATE, model, training.convergence_rate)
    yield from optional(metrics.TRAINING_STABILITY, model, training.stability_ratio)
    yield from optional(metrics.TRAINING_GENERALIZATION_GAP, model, training.generalization_gap)
    yield from _curve_rows(evaluation.model, curve_epochs(training.epochs))


def curve_epochs(epochs: Sequence[TrainingEpoch], most: int = metrics.CURVE_EPOCHS) -> Sequence[TrainingEpoch]:
    """At most so many epochs of a log: all of a short one, else evenly spread, the first and the last among them."""
    if len(epochs) <= most:
        return epochs
    return [epochs[place * (len(epochs) - 1) // (most - 1)] for place in range(most)]


def _curve_rows(model: str, epochs: Iterable[TrainingEpoch]) -> Iterator[Row]:
    for one in epochs:
        epoch = str(one.epoch)
        yield from optional(metrics.TRAINING_EPOCH_LOSS, (model, "train", epoch), one.train_loss)
        yield from optional(metrics.TRAINING_EPOCH_LOSS, (model, "validation", epoch), one.validation_loss)
        yield from optional(metrics.TRAINING_EPOCH_ACCURACY, (model, "train", epoch), one.train_accuracy)
        yield from optional(metrics.TRAINING_EPOCH_ACCURACY, (model, "validation", epoch), one.validation_accuracy)


def baseline_rows(model: str, baseline: Baseline) -> Iterator[Row]:
    """What the baseline file of a model promises."""
    yield from optional(metrics.BASELINE_FALSE_POSITIVES, (model,), baseline.false_positive_ratio)
    for method, ratio in baseline.detection_ratios.items():
        yield Row(metrics.BASELINE_DETECTIONS, (model, method), ratio)
    for quantile, seconds in baseline.latency_seconds.items():
        yield Row(metrics.BASELINE_LATENCY, (model, number_label(quantile)), seconds)
    for image_format, ratio in baseline.false_positive_ratio_by_format.items():
        yield Row(metrics.BASELINE_FORMAT_FALSE_POSITIVES, (model, image_format), ratio)


def comparison_rows(model: str, dataset: str, comparison: Comparison) -> Iterator[Row]:
    """Flips and tests of the slices that hold an image which both models measured."""
    for name, paired in comparison.slices.items():
        if not paired.images:
            continue
        labels = (model, comparison.against, dataset)
        yield Row(metrics.COMPARISON_IMAGES, (*labels, name), paired.images)
        yield Row(metrics.COMPARISON_FLIPS, (*labels, "fixed", name), paired.fixed)
        yield Row(metrics.COMPARISON_FLIPS, (*labels, "broken", name), paired.broken)
        yield from optional(metrics.COMPARISON_P_VALUE, (*labels, name), paired.p_value)


def ablation_rows(study: AblationStudy) -> Iterator[Row]:
    """What each stream is worth; streams without a measured effect have no samples."""
    for effect in study.ablation.effects:
        labels = (study.model, study.dataset, effect.stream)
        if effect.state != "measured" or effect.clean is None or effect.stego is None:
            continue
        yield from optional(metrics.ABLATION_CHANGED, labels, effect.changed.ratio)
        yield Row(metrics.ABLATION_CLEAN, labels, effect.clean.total)
        yield from optional(metrics.ABLATION_FALSE_POSITIVES, labels, effect.clean.ratio)
        yield Row(metrics.ABLATION_STEGO, labels, effect.stego.total)
        yield from optional(metrics.ABLATION_DETECTIONS, labels, effect.stego.ratio)
        if effect.log_loss_increase is not None:
            yield Row(metrics.ABLATION_LOSS, labels, effect.log_loss_increase.value)
            yield from optional(metrics.ABLATION_LOSS_LOWER, labels, effect.log_loss_increase.lower)
            yield from optional(metrics.ABLATION_LOSS_UPPER, labels, effect.log_loss_increase.upper)
        for name, paired in effect.slices.items():
            yield from optional(metrics.ABLATION_P_VALUE, (*labels, name), paired.p_value)


def _method_label(part: SliceCount) -> str:
    if part.method is not None:
        return part.method
    return "unlabelled" if part.file_class == "stego" else "none"
