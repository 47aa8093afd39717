"""Rules of the accuracy checks: measured rate, limit and operator of each, for one evaluation and its baseline."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from types import MappingProxyType
from typing import Literal, Protocol

from starlight_exporter.checks.comparison_basis import CheckBasis
from starlight_exporter.checks.limits import CheckLimits, CheckName
from starlight_exporter.checks.results import Unavailable
from starlight_exporter.detector.contract import METHODS, ImageFormat, Method
from starlight_exporter.statistics.intervals import Proportion

Operator = Literal[">", ">=", "<", "<="]

_FAILS: Mapping[Operator, Callable[[Fraction, Fraction], bool]] = MappingProxyType(
    {
        ">": lambda value, limit: value > limit,
        ">=": lambda value, limit: value >= limit,
        "<": lambda value, limit: value < limit,
        "<=": lambda value, limit: value <= limit,
    }
)

NOT_IN_BASELINE = Unavailable("not_in_baseline", "the baseline has no value for this slice")


class MeasuredRates(Protocol):
    """Rates of an evaluation or of a sample; the properties are those of Evaluation."""

    @property
    def clean(self) -> Proportion: ...
    @property
    def clean_by_format(self) -> Mapping[ImageFormat, Proportion]: ...
    @property
    def negatives(self) -> Mapping[str, Proportion]: ...
    @property
    def detections(self) -> Mapping[Method, Proportion]: ...


@dataclass(frozen=True, slots=True)
class AccuracyRule:
    """One check on one slice: `rate` fails by `operator` against `limit`.

    A failure `against_baseline` is tested on the pairs of verdicts, if there are any. With a `margin` the limit depends
    on the baseline: the error rate must stay below `factor` × that of the baseline + `margin`. `unavailable` is why
    there is no limit.
    """

    name: CheckName
    slice: str
    counts_key: str
    rate: Proportion | None
    operator: Operator
    limit: Fraction | None
    against_baseline: bool = False
    factor: float = 1.0
    margin: Fraction | None = None
    unavailable: Unavailable | None = None

    @property
    def error_limit(self) -> Fraction:
        """The limit of the error rate: misses for detections, false positives otherwise."""
        assert self.limit is not None
        return self.limit if self.operator in (">", ">=") else 1 - self.limit

    def fails(self, rate: Proportion) -> bool:
        """Return whether a measured rate fails."""
        assert self.limit is not None
        return _FAILS[self.operator](Fraction(rate.count, rate.total), self.limit)


def accuracy_rules(rates: MeasuredRates, basis: CheckBasis, limits: CheckLimits) -> Iterator[AccuracyRule]:
    """Yield the rule of every accuracy check on every slice of the evaluation or the baseline."""
    yield from _false_positives(rates, basis, limits)
    yield from _detections(rates, basis, limits)
    yield from _formats(rates, basis, limits)
    for category, rate in rates.negatives.items():
        yield AccuracyRule(
            "negatives",
            category,
            f"negative:{category}",
            rate,
            ">=",
            decimal(limits.negatives),
            against_baseline=True,
        )


def decimal(value: float) -> Fraction:
    """Return the shortest decimal that reads as this float, exactly."""
    return Fraction(repr(float(value)))


def _false_positives(rates: MeasuredRates, basis: CheckBasis, limits: CheckLimits) -> Iterator[AccuracyRule]:
    rate, base = rates.clean, None if basis.baseline is None else basis.baseline.clean
    factor, margin = decimal(limits.fpr_baseline), decimal(limits.fpr_stability)
    why = _missing(basis, known=base is not None)
    yield AccuracyRule(
        "fpr_baseline",
        "",
        "clean",
        rate,
        ">",
        None if why or base is None else base * factor,
        against_baseline=True,
        factor=limits.fpr_baseline,
        margin=Fraction(0),
        unavailable=why,
    )
    yield AccuracyRule(
        "fpr_stability",
        "",
        "clean",
        rate,
        ">=",
        None if why or base is None else base + margin,
        against_baseline=True,
        margin=margin,
        unavailable=why,
    )
    yield AccuracyRule("fpr_target", "", "clean", rate, ">=", decimal(limits.fpr_target))


def _detections(rates: MeasuredRates, basis: CheckBasis, limits: CheckLimits) -> Iterator[AccuracyRule]:
    factor = decimal(limits.detection_baseline)
    for method in METHODS:
        rate, key = rates.detections.get(method), f"stego:{method}"
        base = None if basis.baseline is None else basis.baseline.detections.get(method)
        why = _missing(basis, known=base is not None)
        yield AccuracyRule(
            "detection_baseline",
            method,
            key,
            rate,
            "<",
            None if why or base is None else base * factor,
            against_baseline=True,
            factor=limits.detection_baseline,
            margin=1 - factor,
            unavailable=why,
        )
        yield AccuracyRule("detection_floor", method, key, rate, "<=", decimal(limits.detection_floor))
        yield AccuracyRule("detection_target", method, key, rate, "<=", decimal(limits.detection_target))


def _formats(rates: MeasuredRates, basis: CheckBasis, limits: CheckLimits) -> Iterator[AccuracyRule]:
    baseline = basis.baseline
    comparable = {} if baseline is None or baseline.obstacle is not None else baseline.formats
    margin = decimal(limits.format_consistency)
    for name in dict.fromkeys((*rates.clean_by_format, *comparable)):
        base = comparable.get(name)
        yield AccuracyRule(
            "format_consistency",
            name,
            f"format:{name}",
            rates.clean_by_format.get(name),
            ">=",
            (decimal(limits.format_default) if base is None else base) + margin,
            against_baseline=base is not None,
            margin=None if base is None else margin,
        )


def _missing(basis: CheckBasis, *, known: bool) -> Unavailable | None:
    baseline = basis.baseline
    if baseline is None:
        return basis.no_baseline
    if baseline.obstacle is not None:
        return baseline.obstacle
    return None if known else NOT_IN_BASELINE
