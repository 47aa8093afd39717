"""A basis of checks from chosen counts: a baseline, and pairs of verdicts with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction
from typing import Any

from scipy import special

from starlight_exporter.checks.checks import run_checks
from starlight_exporter.checks.comparison_basis import BaselineInUse, CheckBasis
from starlight_exporter.checks.counts import PairedCounts, counts_of_rates
from starlight_exporter.checks.limits import DEFAULT_LIMITS, CheckLimits
from starlight_exporter.checks.results import CheckResult
from starlight_exporter.detector.contract import METHODS
from starlight_exporter.evaluation.results import Evaluation

BASELINE = BaselineInUse(
    name="baseline",
    clean=Fraction("0.001"),
    formats={"png": Fraction("0.001")},
    detections=dict.fromkeys(METHODS, Fraction("0.98")),
    latency_seconds={0.95: 0.003},
    is_recorded=True,
)


def pairs(files: int, *, broken: int, fixed: int = 0, both_wrong: int = 0) -> PairedCounts:
    """Return pairs of verdicts on files that are their own covers, with the exact one-sided McNemar test."""
    p_value = 1.0 if broken == 0 else float(special.betainc(broken, fixed + 1, 0.5))
    return PairedCounts(files, broken, fixed, both_wrong, p_value)


def basis_for(
    evaluation: Evaluation,
    baseline: BaselineInUse | None = BASELINE,
    paired: Mapping[str, PairedCounts] | None = None,
    **changes: Any,
) -> CheckBasis:
    """Return the basis of an evaluation; `paired` has the keys of `slice_keys`."""
    counts = counts_of_rates(evaluation)
    for key, pair in (paired or {}).items():
        counts[key] = replace(counts[key], paired=pair)
    return CheckBasis(counts, baseline, **changes)


def checked(
    evaluation: Evaluation,
    baseline: BaselineInUse | None = BASELINE,
    paired: Mapping[str, PairedCounts] | None = None,
    limits: CheckLimits = DEFAULT_LIMITS,
) -> tuple[CheckResult, ...]:
    """Run all checks of an evaluation against this baseline."""
    return run_checks(evaluation, basis_for(evaluation, baseline, paired), limits)


def one(checks: tuple[CheckResult, ...], name: str, of: str = "") -> CheckResult:
    """Return the result of one check on one slice."""
    (found,) = (entry for entry in checks if entry.name == name and entry.slice == of)
    return found
