"""Significance of failed checks: hypotheses, their adjustment for the family of checks, and confidence in a pass."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from starlight_exporter.checks.counts import PairedCounts, SliceCounts
from starlight_exporter.checks.limits import CheckName
from starlight_exporter.statistics.clustered import binomial_p_value_high
from starlight_exporter.statistics.intervals import clopper_pearson
from starlight_exporter.statistics.multiple_testing import holm
from starlight_exporter.statistics.paired import paired_upper_limit

SIGNIFICANCE_LEVEL: Final = 0.01
"""A failure is significant if its adjusted p-value is at most this: at most 1% of evaluations of an unchanged model
have a significant failure."""
PROVISIONAL_LEVEL: Final = 0.002
"""The level of the checks on a sample: its share of SIGNIFICANCE_LEVEL."""
LEVEL_AFTER_PROVISIONAL: Final = 0.008
"""The level of the complete result after a sample was checked: both together have SIGNIFICANCE_LEVEL (Bonferroni)."""


def significance_level(*, after_provisional: bool) -> float:
    """Return the level at which the checks of a complete result are tested."""
    return LEVEL_AFTER_PROVISIONAL if after_provisional else SIGNIFICANCE_LEVEL


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """A null hypothesis, identified by `key`, and the p-value of its test: checks with the same key count once."""

    key: str
    p_value: float


def not_worse_than_baseline(counts_key: str, paired: PairedCounts) -> Hypothesis:
    """Return the hypothesis that a verdict changes for the worse as often as for the better."""
    return Hypothesis(f"{counts_key} against the baseline", paired.p_value)


def error_rate_at_limit(counts_key: str, counts: SliceCounts, limit: float) -> Hypothesis | None:
    """Return the hypothesis that the error rate is at the limit; None if the sample size is unknown.

    A detection rate is tested by its misses: P(detections <= x) equals P(misses >= n - x).
    """
    if counts.effective_files is None:
        return None
    p_value = binomial_p_value_high(counts.effective_errors, counts.effective_files, limit)
    return Hypothesis(f"{counts_key} at {limit!r}", p_value)


def adjusted_p_values(
    hypotheses: Mapping[tuple[CheckName, str], Hypothesis],
) -> dict[tuple[CheckName, str], float]:
    """Return the p-value of each check, adjusted for all distinct hypotheses (Holm)."""
    distinct = {one.key: one.p_value for one in hypotheses.values()}
    adjusted = dict(zip(distinct, holm(tuple(distinct.values())), strict=True))
    return {check: adjusted[one.key] for check, one in hypotheses.items()}


def below_with_confidence(counts: SliceCounts, limit: float) -> bool:
    """Return whether the 95% upper bound of the error rate is below the limit."""
    if not counts.effective_files:
        return False
    return clopper_pearson(counts.effective_errors, counts.effective_files)[1] < limit


def within_with_confidence(paired: PairedCounts, factor: float, margin: float) -> bool:
    """Return whether the 97.5% upper limit of (error rate − factor × baseline's error rate) is below the margin.

    False if the effective number of covers is unknown. Source of the limit: `paired_upper_limit`.
    """
    share = paired.effective_share
    if share == 0.0:
        return False
    upper = paired_upper_limit(
        broken=paired.broken * share,
        fixed=paired.fixed * share,
        both_wrong=paired.both_wrong * share,
        files=paired.files * share,
        factor=factor,
    )
    return upper < margin
