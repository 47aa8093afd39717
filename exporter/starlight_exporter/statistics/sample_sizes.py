"""How sure a rate is: where it stands against a limit, how many images would tell, what it means in the field.

Everything here is for people who read a number; the checks that decide stand in `checks.py`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from scipy import special

from starlight_exporter.statistics.intervals import CONFIDENCE, Proportion, upper_bound

Wanted = Literal["below", "above"]
Standing = Literal["met", "missed", "cannot tell", "not measured"]

LARGEST_SAMPLE = 10_000_000
"""Beyond this many images the answer is "more than anybody has"."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Where a rate stands against a limit; `more_images` (about) only with "cannot tell", None if none would do."""

    standing: Standing
    more_images: int | None = None


@dataclass(frozen=True, slots=True)
class Precision:
    """Share of true stego images among those called stego, with a joint 95 % interval; None where it is undefined."""

    value: float | None
    lower: float
    upper: float


def against_limit(rate: Proportion, limit: float, wanted: Wanted) -> Verdict:
    """Met or missed only where the whole exact interval lies on one side of the limit, which itself counts as missed.

    `more_images` supposes that the rate stays as it is: the fewest images, doubled and halved to, whose interval would
    end before the limit.
    """
    if rate.ratio is None or rate.lower is None or rate.upper is None:
        return Verdict("not measured")
    if wanted == "below":
        met, missed = rate.upper < limit, rate.lower >= limit
    else:
        met, missed = rate.lower > limit, rate.upper <= limit
    if met or missed:
        return Verdict("met" if met else "missed")
    needed = _images_needed(rate.ratio, limit, at_least=rate.total)
    return Verdict("cannot tell", None if needed is None else needed - rate.total)


def precision(clean: Proportion, stego: Proportion, prevalence: float) -> Precision | None:
    """Precision where `prevalence` (0..1, exclusive) of all images are stego; None where a rate was not measured.

    Bayes' rule on detection rate and false positive rate; the interval takes the far ends of two exact 97.5 %
    intervals, which hold together with at least 95 % (Bonferroni). ValueError for a prevalence outside 0..1.
    """
    if not 0.0 < prevalence < 1.0:
        raise ValueError(f"expected a prevalence between 0 and 1, got {prevalence!r}")
    if clean.ratio is None or stego.ratio is None:
        return None
    tail = (1 - CONFIDENCE) / 4
    false_low, false_high = _bounds(clean.count, clean.total, tail)
    found_low, found_high = _bounds(stego.count, stego.total, tail)
    return Precision(
        value=_bayes(stego.ratio, clean.ratio, prevalence),
        lower=_bayes(found_low, false_high, prevalence) or 0.0,
        # No false alarm is ruled out at the low end of a rate of zero: then every alarm may be a true one.
        upper=_bayes(found_high, false_low, prevalence) or 1.0,
    )


def _images_needed(ratio: float, limit: float, *, at_least: int) -> int | None:
    """The fewest images at which a rate of `ratio` would be told apart from the limit."""

    def tells(images: int) -> bool:
        # The bounds of a count that need not be whole: rounding it would make the answer jump about.
        low, high = _bounds(ratio * images, images, (1 - CONFIDENCE) / 2)
        return high < limit or low > limit

    below, enough = at_least, max(2 * at_least, 2)
    while not tells(enough):
        below, enough = enough, enough * 2
        if enough > LARGEST_SAMPLE:
            return None
    while enough - below > 1:
        middle = (below + enough) // 2
        below, enough = (below, middle) if tells(middle) else (middle, enough)
    return enough


def _bounds(count: float, total: int, tail: float) -> tuple[float, float]:
    """Clopper and Pearson's interval that leaves `tail` out on each side."""
    low = 0.0 if count == 0 else float(special.betaincinv(count, total - count + 1, tail))
    high = 1.0 if count == total else float(special.betaincinv(count + 1, total - count, 1 - tail))
    return low, high


def _bayes(found: float, false: float, prevalence: float) -> float | None:
    alarms = found * prevalence + false * (1 - prevalence)
    return None if alarms == 0 else found * prevalence / alarms


def images_needed_to_confirm(target: float, *, failures: int = 0) -> int:
    """The fewest images among which `failures` failures leave the upper bound of `proportion` below `target`.

    With no failure this is the first n with 1 - 0.025^(1/n) < target. ValueError for a target outside 0..1 (exclusive).
    """
    if not 0.0 < target < 1.0 or failures < 0:
        raise ValueError(f"expected a target between 0 and 1 and no negative failures, got {target!r} and {failures}")
    below, enough = failures, failures + 1
    while upper_bound(failures, enough) >= target:
        below, enough = enough, enough * 2
    while enough - below > 1:
        middle = (below + enough) // 2
        if upper_bound(failures, middle) < target:
            enough = middle
        else:
            below = middle
    return enough
