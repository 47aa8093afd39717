"""Simulated evaluations: correctness of two models on the same images, and the checks that follow from the counts.

The simulation generates the four outcomes of each slice (both right, broken, fixed, both wrong) and runs the checks of
the exporter on them; nothing of their statistics is repeated here.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Final

import numpy as np

from starlight_exporter.checks.checks import accuracy_checks
from starlight_exporter.checks.comparison_basis import BaselineInUse, CheckBasis
from starlight_exporter.checks.counts import SliceCounts
from starlight_exporter.checks.limits import DEFAULT_LIMITS
from starlight_exporter.checks.results import CheckResult
from starlight_exporter.checks.significance import SIGNIFICANCE_LEVEL
from starlight_exporter.detector.contract import FORMATS, METHODS, ImageFormat, Method
from starlight_exporter.statistics.intervals import Proportion, proportion
from support.checks import pairs
from support.results import empty_evaluation

FORMAT_SHARES: Final = dict(zip(FORMATS, (0.16, 0.34, 0.15, 0.23, 0.12), strict=True))
"""Shares of the image formats, about those of the reference dataset."""
CATEGORIES: Final = tuple(f"category-{number}" for number in range(5))

_TEMPLATE: Final = empty_evaluation()


@dataclass(frozen=True, slots=True)
class Truth:
    """True error rates of production and baseline: false positives, and misses by method.

    `correlation` is that of the errors of the two models on one image: 0 independent, 1 on the same images.
    """

    clean_images: int
    images_per_method: int
    images_per_category: int
    baseline_false_positives: float
    false_positives: float
    baseline_misses: float
    misses: dict[str, float] = field(default_factory=dict)
    correlation: float = 0.0

    def misses_of(self, method: str) -> float:
        """Return the true share of missed images of a method."""
        return self.misses.get(method, self.baseline_misses)

    def null_is_true(self, check: CheckResult) -> bool:
        """Return whether a significant failure of this check would be an error: the model is no worse, or within."""
        is_detection = check.name.startswith("detection")
        now = self.misses_of(check.slice) if is_detection else self.false_positives
        before = self.baseline_misses if is_detection else self.baseline_false_positives
        limits = DEFAULT_LIMITS
        match check.name:
            case "fpr_target":
                return now <= limits.fpr_target
            case "detection_floor":
                return now <= 1 - limits.detection_floor
            case "detection_target":
                return now <= 1 - limits.detection_target
            case _:
                return now <= before


@dataclass(frozen=True, slots=True)
class Outcomes:
    """Files of one slice by outcome."""

    files: int
    broken: int
    fixed: int
    both_wrong: int

    def __add__(self, other: Outcomes) -> Outcomes:
        return Outcomes(
            self.files + other.files,
            self.broken + other.broken,
            self.fixed + other.fixed,
            self.both_wrong + other.both_wrong,
        )


@dataclass(frozen=True, slots=True)
class Slices:
    """Outcomes of every slice: clean images by format, negatives by category, stego images by method."""

    formats: dict[ImageFormat, Outcomes]
    negatives: dict[str, Outcomes]
    stego: dict[Method, Outcomes]

    def __add__(self, other: Slices) -> Slices:
        return Slices(
            {name: one + other.formats[name] for name, one in self.formats.items()},
            {name: one + other.negatives[name] for name, one in self.negatives.items()},
            {name: one + other.stego[name] for name, one in self.stego.items()},
        )


def simulate(truth: Truth, random: np.random.Generator) -> tuple[CheckResult, ...]:
    """Draw one evaluation of both models, and return the results of the accuracy checks."""
    return check(draw(truth, random), SIGNIFICANCE_LEVEL)


def draw(truth: Truth, random: np.random.Generator) -> Slices:
    """Draw the outcomes of one evaluation of both models."""
    fpr = (truth.baseline_false_positives, truth.false_positives)
    formats = {
        name: _draw(round(truth.clean_images * share), *fpr, truth.correlation, random)
        for name, share in FORMAT_SHARES.items()
    }
    negatives = {name: _draw(truth.images_per_category, *fpr, truth.correlation, random) for name in CATEGORIES}
    stego = {
        method: _draw(
            truth.images_per_method, truth.baseline_misses, truth.misses_of(method), truth.correlation, random
        )
        for method in METHODS
    }
    return Slices(formats, negatives, stego)


def check(slices: Slices, level: float) -> tuple[CheckResult, ...]:
    """Return the results of the accuracy checks at a significance level."""
    clean = sum(slices.formats.values(), Outcomes(0, 0, 0, 0))
    evaluation = replace(
        _TEMPLATE,
        clean=_false_positives(clean),
        clean_by_format={name: _false_positives(one) for name, one in slices.formats.items()},
        negatives={name: _false_positives(one) for name, one in slices.negatives.items()},
        detections={method: proportion(one.files - _errors(one), one.files) for method, one in slices.stego.items()},
    )
    named = {
        "clean": clean,
        **{f"format:{name}": one for name, one in slices.formats.items()},
        **{f"negative:{name}": one for name, one in slices.negatives.items()},
        **{f"stego:{name}": one for name, one in slices.stego.items()},
    }
    baseline = BaselineInUse(
        "baseline",
        clean=_baseline_rate(clean),
        formats={name: _baseline_rate(one) for name, one in slices.formats.items()},
        detections={method: 1 - _baseline_rate(one) for method, one in slices.stego.items()},
    )
    counts = {name: _counts(one) for name, one in named.items()}
    return accuracy_checks(evaluation, CheckBasis(counts, baseline), DEFAULT_LIMITS, level=level)


def _draw(files: int, before: float, now: float, correlation: float, random: np.random.Generator) -> Outcomes:
    both = correlation * min(before, now) + (1 - correlation) * before * now
    broken, fixed, both_wrong, _ = random.multinomial(
        files, (now - both, before - both, both, 1 - now - before + both)
    ).tolist()
    return Outcomes(files, broken, fixed, both_wrong)


def _errors(one: Outcomes) -> int:
    return one.broken + one.both_wrong


def _false_positives(one: Outcomes) -> Proportion:
    return proportion(_errors(one), one.files)


def _baseline_rate(one: Outcomes) -> Fraction:
    return Fraction(one.fixed + one.both_wrong, one.files)


def _counts(one: Outcomes) -> SliceCounts:
    paired = pairs(one.files, broken=one.broken, fixed=one.fixed, both_wrong=one.both_wrong)
    return SliceCounts(one.files, _errors(one), one.files, float(one.files), paired)
