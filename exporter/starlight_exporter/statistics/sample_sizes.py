"""Compare a rate with a limit, compute the sample size needed for a conclusion, and derive precision at a prevalence.

For display only: the checks that raise alerts compare point values (package `checks`).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from scipy import special

from starlight_exporter.statistics.intervals import TAIL, Proportion, clopper_pearson

RequiredSide = Literal["below", "above"]
LimitResult = Literal["pass", "fail", "inconclusive", "not measured"]

POWER = 0.8
"""Probability with which a sample of the reported size gives a conclusion, if the observed rate is the true one."""
LARGEST_SAMPLE = 10_000_000
"""Larger sample sizes are reported as None."""


@dataclass(frozen=True, slots=True)
class LimitComparison:
    """Result of comparing a rate with a limit.

    `more_images` is the approximate number of additional images for a conclusion if the result is inconclusive; None if
    it is conclusive, or if more than LARGEST_SAMPLE images would be needed.
    """

    result: LimitResult
    more_images: int | None = None


@dataclass(frozen=True, slots=True)
class Precision:
    """Share of true positives among the positive verdicts, with a joint 95% interval. None if it is undefined."""

    value: float | None
    lower: float
    upper: float


def compare_with_limit(rate: Proportion, limit: float, required: RequiredSide) -> LimitComparison:
    """Return pass or fail if the whole 95% interval is on one side of the limit, otherwise inconclusive.

    The limit itself counts as a fail. `more_images` gives a conclusion with 80% power, see `_conclusive_sample_size`.
    """
    if rate.ratio is None or rate.lower is None or rate.upper is None:
        return LimitComparison("not measured")
    if required == "below":
        passed, failed = rate.upper < limit, rate.lower >= limit
    else:
        passed, failed = rate.lower > limit, rate.upper <= limit
    if passed or failed:
        return LimitComparison("pass" if passed else "fail")
    needed = _conclusive_sample_size(rate, limit)
    return LimitComparison("inconclusive", None if needed is None else needed - rate.total)


def precision(clean: Proportion, stego: Proportion, prevalence: float) -> Precision | None:
    """Return the precision if a share `prevalence` of all images is stego, or None if a rate is not measured.

    Applies Bayes' rule to the false positive rate `clean` and the detection rate `stego`. The interval combines the
    opposite bounds of two 97.5% intervals, which hold jointly with at least 95% (Bonferroni). Raises ValueError unless
    0 < prevalence < 1.
    """
    if not 0.0 < prevalence < 1.0:
        raise ValueError(f"expected a prevalence between 0 and 1, got {prevalence!r}")
    if clean.ratio is None or stego.ratio is None:
        return None
    false_lower, false_upper = clopper_pearson(clean.count, clean.total, TAIL / 2)
    detected_lower, detected_upper = clopper_pearson(stego.count, stego.total, TAIL / 2)
    return Precision(
        value=_bayes(stego.ratio, clean.ratio, prevalence),
        # Defined, because upper bounds are greater than 0.
        lower=_bayes(detected_lower, false_upper, prevalence) or 0.0,
        upper=_bayes(detected_upper, false_lower, prevalence) or 1.0,
    )


def images_needed_to_confirm(target: float, *, failures: int = 0) -> int:
    """Return the smallest sample in which `failures` failures keep the upper bound of the rate below `target`.

    Without failures this is the smallest n with 1 - 0.025^(1/n) < target. Raises ValueError unless 0 < target < 1 and
    failures >= 0.
    """
    if not 0.0 < target < 1.0 or failures < 0:
        raise ValueError(f"expected a target between 0 and 1 and no negative failures, got {target!r} and {failures}")

    def confirms(images: int) -> bool:
        return clopper_pearson(failures, images)[1] < target

    too_few, enough = failures, failures + 1
    while not confirms(enough):
        too_few, enough = enough, enough * 2
    return _bisect(confirms, too_few, enough)


def _conclusive_sample_size(rate: Proportion, limit: float) -> int | None:
    """Return the smallest larger sample whose interval excludes the limit with probability POWER, if there is one.

    The assumed true rate is (count + 0.5) / (total + 1). Without a single event (or a single non-event), it is the
    sample that is conclusive if none occurs.
    """
    if rate.count == 0:
        return images_needed_to_confirm(limit)
    if rate.count == rate.total:
        return images_needed_to_confirm(1 - limit)
    assumed = (rate.count + 0.5) / (rate.total + 1)
    if assumed == limit:
        return None

    def has_power(images: int) -> bool:
        return _probability_of_conclusion(assumed, limit, images) >= POWER

    too_few, enough = rate.total, max(2 * rate.total, 2)
    while not has_power(enough):
        too_few, enough = enough, enough * 2
        if enough > LARGEST_SAMPLE:
            return None
    return _bisect(has_power, too_few, enough)


def _probability_of_conclusion(rate: float, limit: float, images: int) -> float:
    """Return the probability that the 95% interval of a sample lies on the same side of the limit as the true rate."""
    if rate > limit:
        return _probability_of_conclusion(1 - rate, 1 - limit, images)
    # The interval is below the limit if so few events have a probability of less than TAIL at the limit.
    most = math.ceil(float(special.bdtrik(TAIL, images, limit))) - 1
    return 0.0 if most < 0 else float(special.bdtr(most, images, rate))


def _bisect(condition: Callable[[int], bool], too_few: int, enough: int) -> int:
    """Return the smallest number for which `condition` holds: more than `too_few`, at most `enough`."""
    while enough - too_few > 1:
        middle = (too_few + enough) // 2
        if condition(middle):
            enough = middle
        else:
            too_few = middle
    return enough


def _bayes(detected: float, false: float, prevalence: float) -> float | None:
    positives = detected * prevalence + false * (1 - prevalence)
    return None if positives == 0 else detected * prevalence / positives
