"""Paired comparison of two evaluations: images whose correctness differs (flips), and exact tests on them.

Only images with the same content that were measured in both evaluations are compared.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, get_args

from starlight_exporter.dataset.dataset import LABELLED_CLASSES
from starlight_exporter.detector.contract import METHODS
from starlight_exporter.detector.model_file import model_sha256
from starlight_exporter.errors import ComparisonError
from starlight_exporter.evaluation.results import Evaluation, Prediction
from starlight_exporter.evaluation.spec import Aspect, differences
from starlight_exporter.statistics.hypothesis_tests import mcnemar_p_value

FlipDirection = Literal["fixed", "broken"]
FLIP_DIRECTIONS: Final[tuple[FlipDirection, ...]] = get_args(FlipDirection)

SLICES: Final[tuple[str, ...]] = (*LABELLED_CLASSES, *METHODS)
"""Slices with a test of their own: the three classes, and the stego files of each method."""

FALSE_DISCOVERY_RATE: Final = 0.05
"""Adjusted p-values (Benjamini and Hochberg) up to this level are significant."""


@dataclass(frozen=True, slots=True)
class Flip:
    """One file that only one of two evaluations classified correctly."""

    before: Prediction
    after: Prediction


@dataclass(frozen=True, slots=True)
class Flips:
    """Files with a wrong verdict before and a correct one after (fixed), and the reverse (broken), sorted by path.

    `compared` are the files measured in both evaluations; `not_comparable` counts the others.
    """

    fixed: tuple[Flip, ...]
    broken: tuple[Flip, ...]
    compared: tuple[Prediction, ...]
    not_comparable: int


@dataclass(frozen=True, slots=True)
class PairedSlice:
    """Flips among `images` compared files; the p-value of the exact McNemar test is None without flips."""

    images: int
    fixed: int
    broken: int
    p_value: float | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """Comparison of an evaluation with one of an earlier or another model, `against`.

    `slices` has every name of SLICES; `images` is 0 in a slice without compared files.
    """

    evaluation_id: str
    against: str
    against_id: str
    slices: Mapping[str, PairedSlice]
    not_comparable: int


def is_wrong(prediction: Prediction) -> bool | None:
    """Return whether the verdict contradicts the label; None if the file was not measured or has no label."""
    if prediction.verdict is None or prediction.file_class == "unlabelled":
        return None
    return prediction.verdict != (prediction.file_class == "stego")


def noteworthy(predictions: Sequence[Prediction]) -> tuple[Prediction, ...]:
    """Return the predictions with a wrong verdict, and the alarms among unlabelled images, in the given order."""
    return tuple(one for one in predictions if is_wrong(one) or (one.verdict and one.file_class == "unlabelled"))


def misclassified(predictions: Sequence[Prediction]) -> tuple[Prediction, ...]:
    """Return the predictions with a wrong verdict, in the given order."""
    return tuple(prediction for prediction in predictions if is_wrong(prediction))


def require_different_files(before: Path, after: Path) -> None:
    """Raise ComparisonError if two model files have the same content, ModelError if one cannot be read."""
    if model_sha256(before) == model_sha256(after):
        raise ComparisonError(f"{before} and {after} are the same model file")


def flips(before: Sequence[Prediction], after: Sequence[Prediction]) -> Flips:
    """Pair the predictions by path and content, and return the flips."""
    earlier = {(prediction.path, prediction.sha256): prediction for prediction in before}
    fixed: list[Flip] = []
    broken: list[Flip] = []
    compared: list[Prediction] = []
    not_comparable = 0
    for prediction in sorted(after, key=lambda item: item.path):
        other = earlier.pop((prediction.path, prediction.sha256), None)
        was_wrong = None if other is None else is_wrong(other)
        now_wrong = is_wrong(prediction)
        if other is None or was_wrong is None or now_wrong is None:
            not_comparable += 1
            continue
        compared.append(prediction)
        if was_wrong != now_wrong:
            (fixed if was_wrong else broken).append(Flip(other, prediction))
    return Flips(tuple(fixed), tuple(broken), tuple(compared), not_comparable + len(earlier))


def compare(
    before: Evaluation,
    before_predictions: Sequence[Prediction],
    after: Evaluation,
    after_predictions: Sequence[Prediction],
    *,
    against: str,
    same_rule: bool = True,
) -> Comparison:
    """Compare two evaluations slice by slice; `against` is the name of the earlier or other model.

    Raise ComparisonError if they are not comparable: different images or, unless `same_rule` is False, different
    decision rules.
    """
    aspects: tuple[Aspect, ...] = ("images", "rule") if same_rule else ("images",)
    if reason := differences(before.provenance, after.provenance, *aspects):
        raise ComparisonError(f"evaluations {before.id} and {after.id} are not comparable: {reason}")
    found = flips(before_predictions, after_predictions)
    return Comparison(
        evaluation_id=after.id,
        against=against,
        against_id=before.id,
        slices={name: paired_slice(found, name) for name in SLICES},
        not_comparable=found.not_comparable,
    )


def in_slice(prediction: Prediction, name: str) -> bool:
    """Return whether a file belongs to this slice."""
    return name in (prediction.file_class, prediction.method if prediction.file_class == "stego" else None)


def paired_slice(found: Flips, name: str) -> PairedSlice:
    """Count the flips of one slice and apply the exact two-sided McNemar test."""
    fixed = sum(in_slice(flip.after, name) for flip in found.fixed)
    broken = sum(in_slice(flip.after, name) for flip in found.broken)
    return PairedSlice(
        images=sum(in_slice(prediction, name) for prediction in found.compared),
        fixed=fixed,
        broken=broken,
        p_value=mcnemar_p_value(fixed, broken),
    )
