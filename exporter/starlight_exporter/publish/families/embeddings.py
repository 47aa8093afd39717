"""Metrics of the embeddings of a model: silhouettes and the linear probe."""

from __future__ import annotations

from collections.abc import Iterator

from starlight_exporter.evaluation.embedding_results import EmbeddingResult
from starlight_exporter.evaluation.embedding_table import MAX_IMAGES
from starlight_exporter.evaluation.results import Evaluation
from starlight_exporter.publish.families.family import (
    PREFIX,
    UNTIL_EVALUATED,
    Family,
    FamilyGroup,
    MetricSample,
    ProportionFamilies,
    optional,
    proportion_samples,
)

GROUP = FamilyGroup("Embeddings")

_PAIR = "model dataset"
_CLASS = f"{_PAIR} actual"
_NO_OUTPUT = f"{UNTIL_EVALUATED}, or the model has no output `embedding`"
_ABSENT = f"{UNTIL_EVALUATED}, or the separation of the embeddings is not measured"
_NO_CLASS = f"{_ABSENT}, or the class has too few images or covers"


def _proportion(labels: str, prefix: str, by: str, positive: str, ratio: str) -> ProportionFamilies:
    """Define the six families of a Proportion; `positive` is the name of the count, `by` completes the help texts."""
    absent = _ABSENT if labels == _PAIR else _NO_CLASS
    bound = "bound of the 95% confidence interval (Clopper-Pearson, at the effective sample size of shared covers) of"

    def family(name: str, help_text: str, unit: str) -> Family:
        return GROUP.of_evaluation(f"{prefix}_{name}", labels, help_text, unit=unit, absent=absent)

    return ProportionFamilies(
        total=family("images", f"Images whose class the linear probe has predicted out of sample{by}.", "images"),
        covers=family("covers", f"Covers from which these images were made{by}.", "covers"),
        count=family(positive, f"Images whose class the linear probe has predicted correctly{by}.", "images"),
        ratio=family(ratio, f"{PREFIX}{prefix}_{positive} divided by {PREFIX}{prefix}_images.", "ratio"),
        lower=family(f"{ratio}_lower", f"Lower {bound} {PREFIX}{prefix}_{ratio}.", "ratio"),
        upper=family(f"{ratio}_upper", f"Upper {bound} {PREFIX}{prefix}_{ratio}.", "ratio"),
    )


IMAGES = GROUP.of_evaluation(
    "embedding_images",
    _PAIR,
    f"Measured clean and stego images with a finite embedding; of more than {MAX_IMAGES}, a random sample.",
    unit="images",
    absent=_NO_OUTPUT,
)
NOT_FINITE = GROUP.of_evaluation(
    "embedding_images_not_finite",
    _PAIR,
    "Measured clean and stego images whose embedding is not finite; they are excluded.",
    unit="images",
    absent=_NO_OUTPUT,
)
SILHOUETTE = GROUP.of_evaluation(
    "embedding_silhouette",
    _PAIR,
    "Mean silhouette of the embeddings, from -1 to 1: clean images and methods are separated near 1, mixed near 0.",
    absent=_ABSENT,
)
SILHOUETTE_IMAGES = GROUP.of_evaluation(
    "embedding_silhouette_images",
    _PAIR,
    f"Images from which {SILHOUETTE.name} is estimated: a random sample of larger datasets.",
    unit="images",
    absent=_ABSENT,
)
CLASS_SILHOUETTE = GROUP.of_evaluation(
    "embedding_class_silhouette",
    _CLASS,
    "Mean silhouette of the embeddings of one class.",
    absent=_NO_CLASS,
)
PROBE = _proportion(
    _PAIR,
    "embedding_probe",
    "",
    "correct",
    "accuracy_ratio",
)
BALANCED_ACCURACY = GROUP.of_evaluation(
    "embedding_probe_balanced_accuracy_ratio",
    _PAIR,
    "Mean recall of the classes by the linear probe.",
    unit="ratio",
    absent=_ABSENT,
)
BALANCED_ACCURACY_LOWER = GROUP.of_evaluation(
    "embedding_probe_balanced_accuracy_ratio_lower",
    _PAIR,
    f"Lower bound of the 95% confidence interval of {BALANCED_ACCURACY.name}.",
    unit="ratio",
    absent=_ABSENT,
)
BALANCED_ACCURACY_UPPER = GROUP.of_evaluation(
    "embedding_probe_balanced_accuracy_ratio_upper",
    _PAIR,
    f"Upper bound of the 95% confidence interval of {BALANCED_ACCURACY.name}.",
    unit="ratio",
    absent=_ABSENT,
)
LARGEST_CLASS = GROUP.of_evaluation(
    "embedding_probe_largest_class_ratio",
    _PAIR,
    f"Share of the largest class among {PROBE.total.name}: the accuracy of a constant prediction.",
    unit="ratio",
    absent=_ABSENT,
)
RECALL = _proportion(
    _CLASS,
    "embedding_class",
    ", by class",
    "recalled",
    "recall_ratio",
)
NOT_MEASURED = GROUP.of_evaluation(
    "embedding_not_measured",
    f"{_CLASS} reason",
    "Why the separation of the embeddings, or that of a class, is not measured; always 1.",
    absent=f"{UNTIL_EVALUATED}, or it is measured",
)


def evaluation_samples(evaluation: Evaluation) -> Iterator[MetricSample]:
    """Yield silhouettes and probe of one evaluation, or the reason why they are not measured."""
    if evaluation.embeddings is not None:
        yield from _samples((evaluation.model, evaluation.dataset), evaluation.embeddings)


def _samples(pair: tuple[str, str], result: EmbeddingResult) -> Iterator[MetricSample]:
    if result.not_measured is not None:
        yield MetricSample(NOT_MEASURED, (*pair, "", result.not_measured), 1)
    if result.not_measured not in ("no_output", "unsupported_output"):
        yield MetricSample(IMAGES, pair, result.images)
        yield MetricSample(NOT_FINITE, pair, result.not_finite)
    if result.silhouette is not None:
        yield MetricSample(SILHOUETTE, pair, result.silhouette)
        yield MetricSample(SILHOUETTE_IMAGES, pair, result.silhouette_images)
    if result.probe is not None:
        yield from proportion_samples(PROBE, pair, result.probe.accuracy)
        yield MetricSample(BALANCED_ACCURACY, pair, result.probe.balanced_accuracy.value)
        yield from optional(BALANCED_ACCURACY_LOWER, pair, result.probe.balanced_accuracy.lower)
        yield from optional(BALANCED_ACCURACY_UPPER, pair, result.probe.balanced_accuracy.upper)
        yield MetricSample(LARGEST_CLASS, pair, result.probe.largest_class)
    for name, one in result.classes.items():
        if one.not_measured is not None:
            yield MetricSample(NOT_MEASURED, (*pair, name, one.not_measured), 1)
        yield from optional(CLASS_SILHOUETTE, (*pair, name), one.silhouette)
        if one.recall is not None:
            yield from proportion_samples(RECALL, (*pair, name), one.recall)
