"""Checks of a provisional result: model and baseline model on the same sample, at its share of the error level."""

from __future__ import annotations

from dataclasses import dataclass, replace

from starlight_exporter.checks.basis import IS_BASELINE, rates_in_use
from starlight_exporter.checks.checks import accuracy_checks, in_order
from starlight_exporter.checks.comparison_basis import CheckBasis
from starlight_exporter.checks.counts import baseline_errors, slice_counts
from starlight_exporter.checks.limits import CheckLimits
from starlight_exporter.checks.results import CheckResult, Unavailable
from starlight_exporter.checks.significance import PROVISIONAL_LEVEL
from starlight_exporter.evaluation.accuracy import Accuracy, accuracy
from starlight_exporter.evaluation.prediction_table import PredictionTable
from starlight_exporter.evaluation.predictions import is_wrong
from starlight_exporter.evaluation.provisional_result import ProvisionalResult
from starlight_exporter.evaluation.results import Prediction

_NO_MODEL = Unavailable("no_baseline", "no baseline model was measured on the sample")
_REPLACED = Unavailable("no_baseline", "the baseline model that was measured on the sample was replaced")


@dataclass(frozen=True, slots=True)
class CheckedSample:
    """A provisional result with its rates and checks.

    The rates of all stego images depend on the shares of the methods in the sample, so they are no estimate for the
    dataset and not displayed. `baseline` is the name of the model that the sample is compared with, whose file and rule
    are in `result.baseline`; None without a comparison.
    """

    result: ProvisionalResult
    baseline: str | None
    rates: Accuracy
    checks: tuple[CheckResult, ...]

    @property
    def images(self) -> int:
        """The number of images in the sample."""
        return len(self.result.predictions)

    @property
    def significant(self) -> tuple[CheckResult, ...]:
        """The checks that failed significantly."""
        return tuple(check for check in self.checks if check.significant)

    def misclassified(self) -> tuple[Prediction, ...]:
        """Return the images of the sample with a wrong verdict."""
        return tuple(one for one in self.result.predictions if is_wrong(one))


def check_sample(result: ProvisionalResult, limits: CheckLimits, *, baseline: str | None) -> CheckedSample:
    """Check the rates of a sample against the limits and the verdicts of the baseline model, which has this name.

    `baseline` is None if the verdicts are not those of the present baseline model: they are not used. Raise
    StorageError without space for temporary files.
    """
    table = PredictionTable.of(result.predictions)
    rates = accuracy(table)
    checks = accuracy_checks(rates, _basis(result, table, baseline), limits, level=PROVISIONAL_LEVEL)
    return CheckedSample(result, baseline if result.baseline is not None else None, rates, in_order(checks, limits))


def _basis(result: ProvisionalResult, table: PredictionTable, baseline: str | None) -> CheckBasis:
    known = result.baseline
    if known is None or baseline is None:
        why = IS_BASELINE if result.role == "baseline" else _NO_MODEL if known is None else _REPLACED
        return CheckBasis(slice_counts(table, None), no_baseline=why)
    others = PredictionTable.of(replace(one, verdict=known.of(one)) for one in result.predictions)
    in_use = replace(
        rates_in_use(baseline, accuracy(others)),
        same_verdicts=(known.spec.model_sha256, known.spec.decision)
        == (result.spec.model_sha256, result.spec.decision),
    )
    return CheckBasis(slice_counts(table, baseline_errors(table, others)), in_use)
