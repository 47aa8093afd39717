"""Counts of the checked slices, and their pairs with the baseline's verdicts on the same files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from starlight_exporter.dataset.dataset import LABELLED_CLASSES
from starlight_exporter.evaluation.prediction_arrays import MISSING
from starlight_exporter.evaluation.prediction_table import PredictionTable
from starlight_exporter.evaluation.results import Evaluation, Prediction
from starlight_exporter.statistics.clustered import ClusterCounts, effective_sample_size
from starlight_exporter.statistics.intervals import Proportion
from starlight_exporter.statistics.paired import sign_flip_p_value

WasWrong = NDArray[np.int8]
"""Whether the baseline's verdict on the same file was wrong (0 or 1), MISSING if it has none, of shape (images,)."""


@dataclass(frozen=True, slots=True)
class PairedCounts:
    """Files that both models measured: `broken` are wrong only now, `fixed` were wrong only in the baseline.

    `p_value` is that of the exact one-sided test of "more broken than fixed" over covers; `effective_share` is the
    number of independent files per file.
    """

    files: int
    broken: int
    fixed: int
    both_wrong: int
    p_value: float
    effective_share: float = 1.0


@dataclass(frozen=True, slots=True)
class SliceCounts:
    """Measured files of a slice, those with a wrong verdict, their covers, and the pairs with the baseline.

    `effective_files` is the number of independent files that carry as much information; None with a single cover.
    """

    files: int
    errors: int
    covers: int
    effective_files: float | None
    paired: PairedCounts | None = None

    @property
    def effective_errors(self) -> float:
        """Errors at the effective sample size."""
        return self.errors / self.files * (self.effective_files or 0.0)


def slice_counts(predictions: Sequence[Prediction], was_wrong: WasWrong | None) -> dict[str, SliceCounts]:
    """Count every checked slice of an evaluation; the keys are those of `slice_masks`."""
    table = PredictionTable.of(predictions)
    measured = table.wrong != MISSING
    return {
        key: _counts(table, np.flatnonzero(chosen & measured), was_wrong)
        for key, chosen in slice_masks(table).items()
        if (chosen & measured).any()
    }


def slice_masks(table: PredictionTable) -> dict[str, NDArray[np.bool_]]:
    """Return which images are in each slice: `clean`, `format:png`, `negative:patterns`, `stego:lsb`."""
    clean, stego, negative = (table.equals("file_class", name) for name in LABELLED_CLASSES)
    return {
        "clean": clean,
        **{f"format:{name}": clean & table.equals("image_format", name) for name in table.names("image_format")},
        **{f"negative:{name}": negative & table.equals("category", name) for name in table.names("category")},
        **{f"stego:{name}": stego & table.equals("method", name) for name in table.names("method")},
    }


def counts_of_rates(evaluation: Evaluation) -> dict[str, SliceCounts]:
    """Return the counts of an evaluation whose predictions are not stored, without pairs.

    If files share covers, the effective sample size is unknown without the predictions, so that nothing is significant.
    """
    rates: dict[str, tuple[Proportion, bool]] = {
        "clean": (evaluation.clean, False),
        **{f"format:{name}": (rate, False) for name, rate in evaluation.clean_by_format.items()},
        **{f"negative:{name}": (rate, False) for name, rate in evaluation.negatives.items()},
        **{f"stego:{method}": (rate, True) for method, rate in evaluation.detections.items()},
    }
    return {
        key: SliceCounts(
            files=rate.total,
            errors=rate.total - rate.count if is_detection else rate.count,
            covers=rate.total if rate.covers is None else rate.covers,
            effective_files=rate.total if rate.covers is None else None,
        )
        for key, (rate, is_detection) in rates.items()
        if rate.total
    }


def baseline_errors(predictions: Sequence[Prediction], baseline: Sequence[Prediction]) -> WasWrong:
    """Return whether the baseline was wrong on each file, paired by path and content."""
    table, other = PredictionTable.of(predictions), PredictionTable.of(baseline)
    numbers = table.aligned(other)
    errors = np.full(len(table), MISSING, np.int8)
    errors[numbers != MISSING] = other.wrong[numbers[numbers != MISSING]]
    return errors


def _counts(table: PredictionTable, chosen: NDArray[np.int64], was_wrong: WasWrong | None) -> SliceCounts:
    covers, now = table.column("cover")[chosen], table.wrong[chosen] == 1
    clusters = ClusterCounts.by_cover(covers, now)
    return SliceCounts(
        files=len(chosen),
        errors=int(np.count_nonzero(now)),
        covers=len(clusters.files),
        effective_files=float(len(chosen)) if clusters.independent else effective_sample_size(clusters),
        paired=None if was_wrong is None else _pairs(covers, now, was_wrong[chosen]),
    )


def _pairs(covers: NDArray[np.int32], now: NDArray[np.bool_], was_wrong: WasWrong) -> PairedCounts | None:
    known = was_wrong != MISSING
    if not known.any():
        return None
    now, before = now[known], was_wrong[known] == 1
    _, place = np.unique(covers[known], return_inverse=True)
    change: NDArray[np.int64] = now.astype(np.int64) - before.astype(np.int64)
    per_cover = np.bincount(place, weights=change).astype(np.int64)
    discordant = ClusterCounts.by_cover(place, now != before)
    size = float(len(now)) if discordant.independent else effective_sample_size(discordant)
    return PairedCounts(
        files=len(now),
        broken=int(np.count_nonzero(now & ~before)),
        fixed=int(np.count_nonzero(before & ~now)),
        both_wrong=int(np.count_nonzero(now & before)),
        p_value=sign_flip_p_value(per_cover),
        effective_share=0.0 if size is None else size / len(now),
    )
