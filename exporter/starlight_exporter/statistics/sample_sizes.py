"""Sample size needed for a conclusion about a limit, and precision at a prevalence."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from scipy import special

from starlight_exporter.statistics.intervals import TAIL, Proportion, clopper_pearson

POWER = 0.8
"""Probability with which a sample of the reported size gives a conclusion, if the observed rate is the true one."""
LARGEST_SAMPLE = 10_000_000
"""Larger sample sizes are reported as None."""


@dataclass(frozen=True, slots=True)
class SampleSize:
    """Number of images, and of covers if images share covers."""

    images: int
    covers: int | None = None


@dataclass(frozen=True, slots=True)
class Precision:
    """Share of true positives among the positive verdicts, with a joint 95% interval. None if it is undefined."""

    value: float | None
    lower: float
    upper: float


def sample_for_conclusion(rate: Proportion, limit: float) -> SampleSize | None:
    """Return the approximate sample whose 95% interval excludes the limit with 80% power.

    The assumed true rate is (count + 0.5) / (total + 1). Without a single event (or a single non-event), it is the
    sample that is conclusive if none occurs. If images share covers, it has as many images per cover as now. None if
    the interval excludes the limit already or is unknown, or if more than LARGEST_SAMPLE images would be needed.
    """
    if rate.ratio is None or rate.lower is None or rate.upper is None:
        return None
    if rate.upper < limit or rate.lower > limit:
        return None
    size = _effective_size(rate)
    needed = _effective_sample(rate, size, limit)
    if needed is None:
        return None
    images = _ceil(needed * rate.total / size)
    if images > LARGEST_SAMPLE:
        return None
    return SampleSize(images, None if rate.covers is None else _ceil(needed * rate.covers / size))


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


def _ceil(number: float) -> int:
    """Round up, except for the rounding error of the effective size."""
    return math.ceil(round(number, 3))


def _effective_size(rate: Proportion) -> float:
    """Return the number of independent images for which the interval of the rate is the Clopper-Pearson interval."""
    if rate.covers is None or rate.ratio is None:
        return rate.total

    def excess(size: float) -> float:
        assert rate.ratio is not None
        lower, upper = clopper_pearson(rate.ratio * size, size)
        return (rate.lower or 0.0) - lower if rate.count == rate.total else upper - (rate.upper or 0.0)

    low, high = 0.0, float(rate.total)
    for _ in range(60):
        middle = (low + high) / 2
        # The interval becomes narrower with the size.
        low, high = (middle, high) if excess(middle) > 0 else (low, middle)
    return high


def _effective_sample(rate: Proportion, size: float, limit: float) -> int | None:
    """Return the smallest larger sample of independent images that gives a conclusion, if there is one."""
    if rate.count == 0:
        return images_needed_to_confirm(limit)
    if rate.count == rate.total:
        return images_needed_to_confirm(1 - limit)
    assumed = (rate.count / rate.total * size + 0.5) / (size + 1)
    if assumed == limit:
        return None

    def has_power(images: int) -> bool:
        return _probability_of_conclusion(assumed, limit, images) >= POWER

    too_few, enough = int(size), max(2 * int(size), 2)
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
