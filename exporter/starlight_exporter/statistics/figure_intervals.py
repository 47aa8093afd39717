"""Figures of merit with confidence intervals from resampled covers, and paired differences of two models."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Final, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from starlight_exporter.statistics.bootstrap_interval import bias_corrected_bounds
from starlight_exporter.statistics.calibration import CalibrationBin, calibration_curve
from starlight_exporter.statistics.figure_bounds import exact_bounds
from starlight_exporter.statistics.figures_of_merit import (
    FIGURES,
    TESTED_FIGURES,
    Figure,
    detection_rates,
    figure_values,
    min_clean_files,
)
from starlight_exporter.statistics.intervals import TAIL
from starlight_exporter.statistics.roc import RankedFiles, RocCurves, observed_curve, rank, resampled_curves
from starlight_exporter.statistics.scores import Scores
from starlight_exporter.statistics.swap_tests import SwapTest, swap_tests

RESAMPLES: Final = 1000
_ROC_POINTS: Final = 33
_BOUNDS: Final = (TAIL, 1 - TAIL)
_CALIBRATED_TAIL: Final = 0.02
"""With 2.5% outside on each side, simulated intervals contain the true figure in 93 to 95% of samples of 1,000 covers;
calibration of bootstrap intervals: Loh, Journal of the American Statistical Association 82 (1987)."""

FigureReason = Literal["no_images", "one_class", "one_cover", "constant_scores", "few_clean_images"]
FIGURE_REASONS: Final[tuple[FigureReason, ...]] = get_args(FigureReason)
"""Why a figure is not measured. one_cover: all clean or all stego files were made from one cover; few_clean_images:
less than 2 / rate for the detection rate at a false alarm rate."""


@dataclass(frozen=True, slots=True)
class FigureOfMerit:
    """A figure of merit with its 95% interval; all three are None if it is not measured, for this reason."""

    value: float | None
    lower: float | None
    upper: float | None
    not_measured: FigureReason | None = None


@dataclass(frozen=True, slots=True)
class RocPoint:
    """Detection rate at the largest false positive rate up to a limit, with its pointwise 95% band."""

    false_positive_rate: float
    detection_rate: float
    lower: float
    upper: float


@dataclass(frozen=True, slots=True)
class FiguresOfMerit:
    """Figures of merit of clean and stego files, which share `covers` covers.

    `figures` has every figure. `roc` has ascending false positive rates from one clean file to all, evenly spaced on a
    logarithmic axis; it is empty if no figure is measured. `calibration` has the bins that contain files, and is empty
    unless both classes are present.
    """

    clean: int
    stego: int
    covers: int
    resamples: int
    figures: dict[Figure, FigureOfMerit]
    roc: tuple[RocPoint, ...]
    calibration: tuple[CalibrationBin, ...]


@dataclass(frozen=True, slots=True)
class FigureDifference:
    """Figure of one model minus that of another on the same files, with 95% interval and two-sided p-value.

    Everything is None if the figure is not measured by both, for the reason `not_measured`; the bounds also if no
    resample differs. `p_value` is that of a permutation test with `swaps` random swaps of the models.
    """

    value: float | None
    lower: float | None = None
    upper: float | None = None
    p_value: float | None = None
    swaps: int | None = None
    not_measured: FigureReason | None = None


def figures_of_merit(
    scores: Scores, covers: NDArray[np.int64], *, seed: int, resamples: int = RESAMPLES
) -> FiguresOfMerit:
    """Return all figures of clean and stego files; `covers` are numbers from 0, shape (files,).

    A clean file and the stego files that were made from it have the same cover: the intervals are bootstrap intervals
    over covers. Constant scores rank no file, so that no figure is measured.
    """
    files = rank(scores.probabilities, scores.is_stego, covers)
    reason = not_measured_reason(files)
    clean, stego = len(files.clean_covers), len(files.stego_covers)
    figures: dict[Figure, FigureOfMerit] = {figure: FigureOfMerit(None, None, None, reason) for figure in FIGURES}
    roc: tuple[RocPoint, ...] = ()
    if reason is None:
        observed = observed_curve(files)
        measured = [figure for figure in FIGURES if clean >= min_clean_files(figure)]
        rates = _plotted_rates(clean)
        resampled: dict[Figure, list[NDArray[np.float64]]] = {figure: [] for figure in measured}
        band: list[NDArray[np.float64]] = []
        for (curves,) in resampled_curves([files], resamples, seed):
            for figure in measured:
                resampled[figure].append(figure_values(curves, figure))
            band.append(detection_rates(curves, rates))
        for figure in FIGURES:
            figures[figure] = (
                _with_interval(files, observed, figure, np.concatenate(resampled[figure]))
                if figure in resampled
                else FigureOfMerit(None, None, None, "few_clean_images")
            )
        roc = _roc(observed, rates, np.concatenate(band))
    return FiguresOfMerit(
        clean=clean,
        stego=stego,
        covers=files.covers,
        resamples=resamples,
        figures=figures,
        roc=roc,
        calibration=calibration_curve(scores, covers),
    )


def figure_differences(
    after: Scores, before: Scores, covers: NDArray[np.int64], *, seed: int, swaps: int, resamples: int = RESAMPLES
) -> dict[Figure, FigureDifference]:
    """Return the difference of each tested figure of two models on the same files in the same order.

    `covers` are numbers from 0, all of them used, shape (files,). For the interval, both models are evaluated on the
    same resampled covers; the p-value is that of `swap_tests`, with at most `swaps` swaps. Raise ValueError if the
    classes of the files differ.
    """
    if not np.array_equal(after.is_stego, before.is_stego):
        raise ValueError("expected the same files for both models")
    files = [rank(scores.probabilities, scores.is_stego, covers) for scores in (after, before)]
    reason = next((found for found in map(not_measured_reason, files) if found is not None), None)
    if reason is not None:
        return {figure: FigureDifference(None, not_measured=reason) for figure in TESTED_FIGURES}
    clean = len(files[0].clean_covers)
    measured = [figure for figure in TESTED_FIGURES if clean >= min_clean_files(figure)]
    blocks: dict[Figure, list[NDArray[np.float64]]] = {figure: [] for figure in measured}
    for new, old in resampled_curves(files, resamples, seed):
        for figure in measured:
            blocks[figure].append(figure_values(new, figure) - figure_values(old, figure))
    new, old = (observed_curve(one) for one in files)
    tests = swap_tests(after, before, covers, measured, seed=seed, swaps=swaps)
    return {
        figure: _difference(
            float((figure_values(new, figure) - figure_values(old, figure))[0]),
            np.concatenate(blocks[figure]),
            tests[figure],
        )
        if figure in blocks
        else FigureDifference(None, not_measured="few_clean_images")
        for figure in TESTED_FIGURES
    }


def not_measured_reason(files: RankedFiles) -> FigureReason | None:
    """Return why no figure of these files is measured; None if those with enough clean files are."""
    present = [len(covers) > 0 for covers in (files.clean_covers, files.stego_covers)]
    if not any(present):
        return "no_images"
    if not all(present):
        return "one_class"
    if any(int(covers.min()) == int(covers.max()) for covers in (files.clean_covers, files.stego_covers)):
        return "one_cover"
    return "constant_scores" if files.constant else None


def _difference(value: float, resampled: NDArray[np.float64], test: SwapTest) -> FigureDifference:
    if not np.any(resampled):
        return FigureDifference(value, p_value=test.p_value, swaps=test.swaps)
    # The biases of two models cancel, and correcting the rest gives 6 to 9% false significance at 5%: not corrected.
    lower, upper = np.quantile(resampled, _BOUNDS)
    return FigureDifference(
        value, min(value, float(lower)), max(value, float(upper)), p_value=test.p_value, swaps=test.swaps
    )


def _plotted_rates(clean: int) -> list[Fraction]:
    """Return false alarm rates of whole files, from one file to all, evenly spaced on a logarithmic axis."""
    counts = np.unique(np.rint(np.geomspace(1, clean, _ROC_POINTS)).astype(np.int64))
    return [Fraction(count, clean) for count in counts.tolist()]


def _roc(observed: RocCurves, rates: list[Fraction], resampled: NDArray[np.float64]) -> tuple[RocPoint, ...]:
    values = detection_rates(observed, rates)[0]
    lower, upper = np.quantile(resampled, _BOUNDS, axis=0)
    return tuple(
        RocPoint(float(rate), value, min(value, low), max(value, high))
        for rate, value, low, high in zip(rates, values.tolist(), lower.tolist(), upper.tolist(), strict=True)
    )


def _with_interval(
    files: RankedFiles, observed: RocCurves, figure: Figure, resampled: NDArray[np.float64]
) -> FigureOfMerit:
    """Return a figure with the smallest interval that contains the bootstrap interval and the exact bounds.

    Where few files are wrong, resamples vary too little; exact bounds account for one source of variation at a time.
    The measured coverage is in benchmarks/operating_characteristics.md.
    """
    value = float(figure_values(observed, figure)[0])
    bounds = (bias_corrected_bounds(value, resampled, _CALIBRATED_TAIL), exact_bounds(files, observed, figure, value))
    return FigureOfMerit(
        value,
        lower=max(0.0, min(value, *(lower for lower, _ in bounds))),
        upper=min(1.0, max(value, *(upper for _, upper in bounds))),
    )
