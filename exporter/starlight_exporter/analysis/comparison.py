"""Two models' verdicts on the same images: which files flipped, and whether chance explains it.

A comparison is paired: an image counts only where both models measured the same content, and only flips count.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from starlight_exporter.dataset.dataset import FILE_CLASSES
from starlight_exporter.detector.contract import METHODS
from starlight_exporter.detector.model_file import model_sha256
from starlight_exporter.errors import ComparisonError
from starlight_exporter.evaluation.results import Evaluation, Prediction
from starlight_exporter.evaluation.spec import Aspect, differences
from starlight_exporter.statistics.hypothesis_tests import mcnemar_p_value

Direction = Literal["fixed", "broken"]
DIRECTIONS: tuple[Direction, ...] = ("fixed", "broken")

SLICES: Final[tuple[str, ...]] = (*FILE_CLASSES, *METHODS)
"""What is compared apart: the three classes, and the stego files of each method."""

FALSE_DISCOVERY_RATE: Final = 0.05
"""Adjusted p-values (Benjamini and Hochberg) up to this are called a change."""


@dataclass(frozen=True, slots=True)
class Flip:
    """One file of which two evaluations give different verdicts."""

    before: Prediction
    after: Prediction


@dataclass(frozen=True, slots=True)
class Flips:
    """Verdicts that were wrong before and are right now, and the other way round, sorted by path.

    `compared` are the files that both measured; `not_comparable` the ones that one of the two did not measure, or that
    only one of them has.
    """

    fixed: tuple[Flip, ...]
    broken: tuple[Flip, ...]
    compared: tuple[Prediction, ...]
    not_comparable: int


@dataclass(frozen=True, slots=True)
class PairedSlice:
    """Flips among `images` files; the exact McNemar p value is None where nothing flipped, which proves nothing."""

    images: int
    fixed: int
    broken: int
    p_value: float | None


@dataclass(frozen=True, slots=True)
class Comparison:
    """The newer evaluation's verdicts held against those of an earlier or another model, `against`.

    `slices` has every name of SLICES; a slice without a file that both measured has `images` 0.
    """

    evaluation_id: str
    against: str
    against_id: str
    slices: Mapping[str, PairedSlice]
    not_comparable: int


def is_wrong(prediction: Prediction) -> bool | None:
    """Whether the verdict contradicts the label (stego against clean or negative); None where nothing was measured."""
    if prediction.verdict is None:
        return None
    return prediction.verdict != (prediction.file_class == "stego")


def misclassified(predictions: Sequence[Prediction]) -> tuple[Prediction, ...]:
    """The measured files with a wrong verdict, in the given order; files that were not measured are not wrong."""
    return tuple(prediction for prediction in predictions if is_wrong(prediction))


def require_different_files(before: Path, after: Path) -> None:
    """ComparisonError where two model files have the same bytes; ModelError names one that is not there."""
    if model_sha256(before) == model_sha256(after):
        raise ComparisonError(f"{before} and {after} are the same model file")


def flips(before: Sequence[Prediction], after: Sequence[Prediction]) -> Flips:
    """Which files changed sides. Files are paired by path and content: the caller has made sure of the dataset."""
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
    """The paired comparison under the name `against`.

    ComparisonError for different images, and for different decision rules unless `same_rule` is given up.
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
    """Whether a file belongs to this name of SLICES."""
    return name in (prediction.file_class, prediction.method if prediction.file_class == "stego" else None)


def paired_slice(found: Flips, name: str) -> PairedSlice:
    """The flips within one of SLICES, with the exact two-sided McNemar test (`statistics.mcnemar_p_value`)."""
    fixed = sum(in_slice(flip.after, name) for flip in found.fixed)
    broken = sum(in_slice(flip.after, name) for flip in found.broken)
    return PairedSlice(
        images=sum(in_slice(prediction, name) for prediction in found.compared),
        fixed=fixed,
        broken=broken,
        p_value=mcnemar_p_value(fixed, broken),
    )
