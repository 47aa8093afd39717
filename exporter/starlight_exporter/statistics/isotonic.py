"""Isotonic regression of a binary outcome on a positive dose, with a pointwise band, and the dose at a level.

A detection rate that does not fall as the embedding rate grows is the only assumption: unlike with a logistic curve, a
rate that stops below 100% or jumps does not bias the result.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray
from scipy import special

from starlight_exporter.statistics.intervals import TAIL

MAX_GROUPS: Final = 32
"""More different doses are grouped by quantiles."""
_BISECTIONS: Final = 30

NotCrossed = Literal["not reached", "always above"]


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """The fitted rate at a dose, with its pointwise 95% interval; the bounds are None with fewer than two covers."""

    dose: float
    rate: float
    lower: float | None
    upper: float | None


@dataclass(frozen=True, slots=True)
class DoseAtLevel:
    """The dose at which the rate reaches `level`, with its 95% interval.

    `dose` is None if the fitted rate does not cross the level at the measured doses; `reason` is then how. A bound is
    None if the interval is not bounded by the measured doses, or with fewer than two covers.
    """

    level: float
    dose: float | None
    lower: float | None
    upper: float | None
    reason: NotCrossed | None


@dataclass(frozen=True, slots=True)
class IsotonicFit:
    """A fitted curve, and the dose at each of the requested levels."""

    points: tuple[CurvePoint, ...]
    at_levels: tuple[DoseAtLevel, ...]


def fit_isotonic(
    doses: NDArray[np.float64], events: NDArray[np.bool_], covers: NDArray[np.int64], levels: Sequence[float]
) -> IsotonicFit:
    """Fit P(event) as a function that does not decrease with the dose; arrays of shape (files,), doses above 0.

    The fit is the maximum likelihood (pool adjacent violators; Ayer et al., Annals of Mathematical Statistics 26,
    1955). Intervals invert the likelihood-ratio test of a value at a point, or of a crossing between two doses, under
    monotonicity (Banerjee and Wellner, Annals of Statistics 29, 2001), with the chi-squared quantile that holds for few
    doses with many files and is conservative for many (Tang, Banerjee and Kosorok, Annals of Statistics 40, 2012). The
    statistic is divided by the design effect of shared covers (Rao and Scott, JASA 76, 1981), with the quantile of t at
    covers - 1 degrees of freedom. The dose at a level is interpolated between the centres of the blocks, on a
    logarithmic scale (centred isotonic regression; Oron and Flournoy, Statistics in Biopharmaceutical Research 9,
    2017). Raise ValueError without files, for unequal shapes, and for doses that are not positive.
    """
    if doses.ndim != 1 or doses.size == 0 or doses.shape != events.shape or doses.shape != covers.shape:
        raise ValueError(f"expected three arrays of one length, got {doses.shape}, {events.shape}, {covers.shape}")
    if not bool(np.all((doses > 0) & np.isfinite(doses))):
        raise ValueError("a dose is not positive")
    groups = _Groups.of(doses, events)
    fitted = _fitted(groups)
    critical = _critical_value(fitted[groups.index], events, covers)
    lower, upper = _band(groups, fitted, critical)
    return IsotonicFit(
        points=tuple(
            CurvePoint(
                float(groups.means[one]),
                float(fitted[one]),
                None if lower is None else float(lower[one]),
                None if upper is None else float(upper[one]),
            )
            for one in range(len(fitted))
        ),
        at_levels=tuple(_at_level(groups, fitted, level, critical) for level in levels),
    )


@dataclass(frozen=True, slots=True)
class _Groups:
    """Files of similar dose, in ascending order: files, events, mean log dose and
    geometric mean of the doses.

    `index` is the group of each file.
    """

    files: NDArray[np.float64]
    events: NDArray[np.float64]
    centres: NDArray[np.float64]
    means: NDArray[np.float64]
    index: NDArray[np.int64]

    @classmethod
    def of(cls, doses: NDArray[np.float64], events: NDArray[np.bool_]) -> _Groups:
        distinct, place, counts = np.unique(doses, return_inverse=True, return_counts=True)
        if distinct.size > MAX_GROUPS:
            # Equal doses stay together.
            ranks = np.cumsum(counts) - counts / 2
            group = np.minimum((ranks / doses.size * MAX_GROUPS).astype(np.int64), MAX_GROUPS - 1)
            _, group = np.unique(group, return_inverse=True)
        else:
            group = np.arange(distinct.size)
        index = group[place]
        files = np.bincount(index).astype(np.float64)
        centres = np.bincount(index, weights=np.log(doses)) / files
        starts = np.flatnonzero(np.diff(group, prepend=-1))
        ends = np.append(starts[1:], distinct.size) - 1
        return cls(
            files=files,
            events=np.bincount(index[events], minlength=files.size).astype(np.float64),
            centres=centres,
            # A single dose is exact.
            means=np.where(starts == ends, distinct[starts], np.exp(centres)),
            index=index,
        )


_Block = tuple[float, float, int]
"""Files, events, and number of groups of a block."""


def _prefix_blocks(files: Sequence[float], events: Sequence[float], sign: int) -> list[tuple[_Block, ...]]:
    """Return the blocks of the isotonic fit of the first 0, 1, … groups; a `sign` of -1 fits a decreasing rate."""
    stack: list[_Block] = []
    found: list[tuple[_Block, ...]] = [()]
    for n, k in zip(files, events, strict=True):
        stack.append((n, k, 1))
        while len(stack) > 1 and sign * stack[-2][1] * stack[-1][0] >= sign * stack[-1][1] * stack[-2][0]:
            (n_last, k_last, size_last), (n_before, k_before, size_before) = stack.pop(), stack.pop()
            stack.append((n_before + n_last, k_before + k_last, size_before + size_last))
        found.append(tuple(stack))
    return found


def _blocks(groups: _Groups) -> tuple[_Block, ...]:
    return _prefix_blocks(groups.files.tolist(), groups.events.tolist(), 1)[-1]


def _fitted(groups: _Groups) -> NDArray[np.float64]:
    """Return the fitted rate of each group."""
    blocks = _blocks(groups)
    return np.repeat([k / n for n, k, _ in blocks], [size for *_, size in blocks])


def _critical_value(fitted: NDArray[np.float64], events: NDArray[np.bool_], covers: NDArray[np.int64]) -> float | None:
    """Return the value that the likelihood-ratio statistic exceeds with 5% probability; None with one cover."""
    _, cover = np.unique(covers, return_inverse=True)
    count = int(cover.max()) + 1
    if count < 2:
        return None
    quantile = float(special.stdtrit(count - 1, 1 - TAIL)) ** 2
    of_covers = np.bincount(cover, weights=events - fitted)
    variance = math.fsum((fitted * (1 - fitted)).tolist())
    design_effect = math.fsum((of_covers**2).tolist()) * count / (count - 1) / variance if variance > 0 else 0.0
    if count < events.size and variance == 0:
        # Outcomes that follow from the dose say nothing about the correlation in a cover: assume that it is full.
        design_effect = float(np.sum(np.bincount(cover).astype(np.float64) ** 2)) / events.size
    return quantile * max(1.0, design_effect)


class _LikelihoodRatio:
    """The statistic of hypotheses "the rate is at most L before, and at least L from there on", one per split.

    Every row is a hypothesis: the blocks of the groups before and after it, padded with empty blocks. `fixed` are files
    and events of a group whose rate is exactly L.
    """

    def __init__(self, groups: _Groups, splits: Sequence[tuple[int, int]], maximum: float) -> None:
        count = len(groups.files)
        before = _prefix_blocks(groups.files.tolist(), groups.events.tolist(), 1)
        after = _prefix_blocks(groups.files[::-1].tolist(), groups.events[::-1].tolist(), -1)
        self._maximum = maximum
        self._before = _padded([before[left] for left, _ in splits], count)
        self._after = _padded([after[count - right] for _, right in splits], count)
        fixed = [range(left, right) for left, right in splits]
        self._fixed = (
            np.array([groups.files[list(one)].sum() for one in fixed]),
            np.array([groups.events[list(one)].sum() for one in fixed]),
        )

    def at(self, levels: NDArray[np.float64] | float) -> NDArray[np.float64]:
        """Return the statistic of each hypothesis at its level, shape (hypotheses,)."""
        level = np.broadcast_to(np.asarray(levels, dtype=np.float64), (len(self._fixed[0]),))
        column = level[:, np.newaxis]
        before = _log_likelihood(*self._before, np.minimum(_rates(*self._before), column)).sum(axis=1)
        after = _log_likelihood(*self._after, np.maximum(_rates(*self._after), column)).sum(axis=1)
        fixed = _log_likelihood(*self._fixed, level)
        result: NDArray[np.float64] = np.maximum(0.0, 2 * (self._maximum - before - after - fixed))
        return result


_Pair = tuple[NDArray[np.float64], NDArray[np.float64]]


def _padded(rows: Sequence[Sequence[_Block]], width: int) -> _Pair:
    files, events = np.zeros((len(rows), width)), np.zeros((len(rows), width))
    for number, blocks in enumerate(rows):
        files[number, : len(blocks)] = [n for n, *_ in blocks]
        events[number, : len(blocks)] = [k for _, k, _ in blocks]
    return files, events


def _rates(files: NDArray[np.float64], events: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.divide(events, files, out=np.full_like(files, 0.5), where=files > 0)


def _log_likelihood(
    files: NDArray[np.float64], events: NDArray[np.float64], rates: NDArray[np.float64]
) -> NDArray[np.float64]:
    return np.asarray(special.xlogy(events, rates) + special.xlog1py(files - events, -rates), np.float64)


def _maximum(groups: _Groups, fitted: NDArray[np.float64]) -> float:
    return float(_log_likelihood(groups.files, groups.events, fitted).sum())


def _band(
    groups: _Groups, fitted: NDArray[np.float64], critical: float | None
) -> tuple[NDArray[np.float64] | None, NDArray[np.float64] | None]:
    """Return the pointwise bounds of the rate of each group, by bisection."""
    if critical is None:
        return None, None
    statistic = _LikelihoodRatio(groups, [(one, one + 1) for one in range(len(fitted))], _maximum(groups, fitted))

    def bound(outside: float) -> NDArray[np.float64]:
        accepted, rejected = fitted.copy(), np.full_like(fitted, outside)
        for _ in range(_BISECTIONS):
            middle = (accepted + rejected) / 2
            inside = statistic.at(middle) <= critical
            accepted[inside], rejected[~inside] = middle[inside], middle[~inside]
        return accepted

    # A rate of exactly 0 or 1 has a bound on one side only.
    lower = np.where(statistic.at(0.0) <= critical, 0.0, bound(0.0))
    upper = np.where(statistic.at(1.0) <= critical, 1.0, bound(1.0))
    return lower, upper


def _at_level(groups: _Groups, fitted: NDArray[np.float64], level: float, critical: float | None) -> DoseAtLevel:
    dose, reason = _crossing(groups, level)
    if critical is None:
        return DoseAtLevel(level, dose, None, None, reason)
    count = len(fitted)
    # Before the first group, between two groups, after the last one.
    statistic = _LikelihoodRatio(groups, [(gap, gap) for gap in range(count + 1)], _maximum(groups, fitted))
    accepted = np.flatnonzero(statistic.at(level) <= critical)
    first, last = int(accepted[0]), int(accepted[-1])
    lower = None if first == 0 else float(groups.means[first - 1])
    upper = None if last == count else float(groups.means[last])
    if dose is not None:
        # The centre of a block can be outside the gap next to it.
        lower = None if lower is None else min(lower, dose)
        upper = None if upper is None else max(upper, dose)
    return DoseAtLevel(level, dose, lower, upper, reason)


def _crossing(groups: _Groups, level: float) -> tuple[float | None, NotCrossed | None]:
    """Return the dose at which the centred isotonic regression crosses a level, or why it does not."""
    blocks = _blocks(groups)
    rates = [k / n for n, k, _ in blocks]
    if rates[0] >= level:
        return None, "always above"
    if rates[-1] < level:
        return None, "not reached"
    centres, start = [], 0
    for rate, (n, _, size) in zip(rates, blocks, strict=True):
        inside = slice(start, start + size)
        mean = float(np.sum(groups.files[inside] * groups.centres[inside])) / n
        # A rate of 0 or 1 is the same in the whole block, not only in its centre.
        centres.append(float(groups.centres[start if rate == 1 else start + size - 1]) if rate in (0, 1) else mean)
        start += size
    above = next(index for index, rate in enumerate(rates) if rate >= level)
    share = (level - rates[above - 1]) / (rates[above] - rates[above - 1])
    return math.exp(centres[above - 1] + share * (centres[above] - centres[above - 1])), None
