"""Paired comparison of two evaluations: images whose correctness differs (flips), and exact tests on them.

Only images with the same content that were measured in both evaluations are compared.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from starlight_exporter.dataset.dataset import LABELLED_CLASSES
from starlight_exporter.detector.contract import METHODS
from starlight_exporter.detector.model_file import model_sha256
from starlight_exporter.errors import ComparisonError
from starlight_exporter.evaluation.prediction_arrays import MISSING
from starlight_exporter.evaluation.prediction_table import PredictionTable
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


@dataclass(frozen=True, slots=True, eq=False)
class Flips:
    """Files with a wrong verdict before and a correct one after (fixed), and the reverse (broken).

    `compared` are the numbers of the files measured in both evaluations, sorted by path, of shape (files, 2): before
    and after. `was_wrong` and `is_wrong` are of shape (files,). `not_comparable` counts the other files.
    """

    before: PredictionTable
    after: PredictionTable
    compared: NDArray[np.int64]
    was_wrong: NDArray[np.bool_]
    is_wrong: NDArray[np.bool_]
    not_comparable: int

    def chosen(self, direction: FlipDirection) -> NDArray[np.bool_]:
        """Return which compared files were flipped in this direction, of shape (files,)."""
        return self.was_wrong & ~self.is_wrong if direction == "fixed" else self.is_wrong & ~self.was_wrong

    def files(self, direction: FlipDirection, limit: int | None = None) -> tuple[Flip, ...]:
        """Return the flips in this direction, sorted by path, at most `limit`."""
        before, after = self.compared[self.chosen(direction)][:limit].T
        return tuple(map(Flip, self.before.rows(before), self.after.rows(after)))


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


def noteworthy(predictions: PredictionTable) -> NDArray[np.bool_]:
    """Return which images have a wrong verdict or are alarms among unlabelled images, of shape (images,)."""
    wrong: NDArray[np.bool_] = predictions.wrong == 1
    return wrong | (predictions.positive & predictions.equals("file_class", "unlabelled"))


def require_different_files(before: Path, after: Path) -> None:
    """Raise ComparisonError if two model files have the same content, ModelError if one cannot be read."""
    if model_sha256(before) == model_sha256(after):
        raise ComparisonError(f"{before} and {after} are the same model file")


def flips(before: Sequence[Prediction], after: Sequence[Prediction]) -> Flips:
    """Pair the predictions by path and content, and return the flips."""
    earlier, later = PredictionTable.of(before), PredictionTable.of(after)
    now, then = later.same_files(earlier)
    measured = (later.wrong[now] != MISSING) & (earlier.wrong[then] != MISSING)
    pairs = np.stack([then[measured], now[measured]], axis=1)
    return Flips(
        before=earlier,
        after=later,
        compared=pairs,
        was_wrong=earlier.wrong[pairs[:, 0]] == 1,
        is_wrong=later.wrong[pairs[:, 1]] == 1,
        # Files of one evaluation only count once, as do pairs that one evaluation did not measure.
        not_comparable=len(earlier) + len(later) - len(now) - len(pairs),
    )


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


def in_slice(predictions: PredictionTable, name: str) -> NDArray[np.bool_]:
    """Return which files belong to this slice, of shape (images,)."""
    if name in LABELLED_CLASSES:
        return predictions.equals("file_class", name)
    return predictions.equals("file_class", "stego") & predictions.equals("method", name)


def paired_slice(found: Flips, name: str) -> PairedSlice:
    """Count the flips of one slice and apply the exact two-sided McNemar test."""
    chosen = in_slice(found.after, name)[found.compared[:, 1]]
    fixed, broken = (int(np.count_nonzero(found.chosen(direction) & chosen)) for direction in ("fixed", "broken"))
    return PairedSlice(
        images=int(np.count_nonzero(chosen)),
        fixed=fixed,
        broken=broken,
        p_value=mcnemar_p_value(fixed, broken),
    )
