"""Counts of the checked slices, and their pairs with the baseline's verdicts on the same files."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from starlight_exporter.analysis.comparison import is_wrong
from starlight_exporter.evaluation.results import Evaluation, Prediction
from starlight_exporter.statistics.clustered import ClusterCounts, effective_sample_size
from starlight_exporter.statistics.intervals import Proportion
from starlight_exporter.statistics.paired import sign_flip_p_value

WasWrong = Callable[[Prediction], bool | None]
"""Returns whether the baseline's verdict on the same file was wrong; None if it has none."""


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


def slice_counts(predictions: Iterable[Prediction], was_wrong: WasWrong | None) -> dict[str, SliceCounts]:
    """Count every checked slice of an evaluation; the keys are those of `slice_keys`."""
    files: dict[str, list[tuple[str, bool, bool | None]]] = defaultdict(list)
    for prediction in predictions:
        now = is_wrong(prediction)
        if now is None:
            continue
        before = None if was_wrong is None else was_wrong(prediction)
        for key in slice_keys(prediction):
            files[key].append((prediction.cover_key, now, before))
    return {key: _counts(entries, paired=was_wrong is not None) for key, entries in files.items()}


def slice_keys(prediction: Prediction) -> Iterator[str]:
    """Yield the keys of the slices of a file: `clean`, `format:png`, `negative:patterns`, `stego:lsb`."""
    match prediction.file_class:
        case "clean":
            yield "clean"
            yield f"format:{prediction.image_format}"
        case "negative":
            yield f"negative:{prediction.category}"
        case "stego":
            yield f"stego:{prediction.method}"


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


def baseline_errors(predictions: Iterable[Prediction]) -> WasWrong:
    """Return a lookup of the baseline's errors by path and content."""
    errors: Mapping[tuple[str, str], bool | None] = {(p.path, p.sha256 or ""): is_wrong(p) for p in predictions}
    return lambda prediction: errors.get((prediction.path, prediction.sha256 or ""))


def _counts(entries: list[tuple[str, bool, bool | None]], *, paired: bool) -> SliceCounts:
    covers, now, _ = zip(*entries, strict=True)
    clusters = ClusterCounts.by_cover(covers, now)
    return SliceCounts(
        files=len(entries),
        errors=sum(now),
        covers=len(clusters.files),
        effective_files=float(len(entries)) if clusters.independent else effective_sample_size(clusters),
        paired=_pairs([(cover, now, before) for cover, now, before in entries if before is not None])
        if paired
        else None,
    )


def _pairs(entries: list[tuple[str, bool, bool]]) -> PairedCounts | None:
    if not entries:
        return None
    names, is_now_wrong, was_wrong = zip(*entries, strict=True)
    now, before = np.array(is_now_wrong, dtype=bool), np.array(was_wrong, dtype=bool)
    _, covers = np.unique(np.array(names), return_inverse=True)
    change: NDArray[np.int64] = now.astype(np.int64) - before.astype(np.int64)
    per_cover = np.bincount(covers, weights=change).astype(np.int64)
    discordant = ClusterCounts.by_cover(covers, now != before)
    size = float(len(entries)) if discordant.independent else effective_sample_size(discordant)
    return PairedCounts(
        files=len(entries),
        broken=int(np.count_nonzero(now & ~before)),
        fixed=int(np.count_nonzero(before & ~now)),
        both_wrong=int(np.count_nonzero(now & before)),
        p_value=sign_flip_p_value(per_cover),
        effective_share=0.0 if size is None else size / len(entries),
    )
