"""Build the basis of the checks from predictions: against a baseline model, a recorded baseline, or without either."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Final

import numpy as np

from starlight_exporter.checks.accuracy_rules import MeasuredRates, decimal
from starlight_exporter.checks.baseline import Baseline, latency_obstacle, obstacle
from starlight_exporter.checks.comparison_basis import NO_BASELINE, BaselineInUse, CheckBasis
from starlight_exporter.checks.counts import WasWrong, baseline_errors, counts_of_rates, slice_counts, slice_masks
from starlight_exporter.checks.machine import current_machine
from starlight_exporter.checks.recorded_parts import RecordedCount, RecordedCounts
from starlight_exporter.checks.results import Unavailable
from starlight_exporter.evaluation.prediction_arrays import MISSING
from starlight_exporter.evaluation.prediction_table import PredictionTable
from starlight_exporter.evaluation.results import Evaluation, Prediction
from starlight_exporter.evaluation.spec import EvaluationSpec, differences
from starlight_exporter.statistics.intervals import Proportion

RECORDED = "recorded baseline"


IS_BASELINE: Final = Unavailable("no_baseline", "this model is the baseline")


def basis_without_baseline(
    evaluation: Evaluation, predictions: Sequence[Prediction] | None, reason: str = NO_BASELINE.text
) -> CheckBasis:
    """Return the basis of an evaluation without a baseline, for this reason.

    Without predictions, rates of shared covers are not testable.
    """
    why = IS_BASELINE if evaluation.role == "baseline" else Unavailable("no_baseline", reason)
    return replace(_basis(evaluation, predictions, None, None), no_baseline=why)


def basis_against_model(
    evaluation: Evaluation,
    predictions: Sequence[Prediction] | None,
    baseline: Evaluation,
    baseline_predictions: Sequence[Prediction] | None,
) -> CheckBasis:
    """Return the basis against an evaluation of the baseline model, which may have another decision rule.

    Evaluations of different images are not comparable.
    """
    other_images = differences(baseline.provenance, evaluation.provenance, "images")
    other_provider = differences(baseline.provenance, evaluation.provenance, "provider")
    in_use = replace(
        rates_in_use(baseline.model, baseline),
        latency_seconds={}
        if baseline.latency is None
        else {entry.quantile: entry.seconds for entry in baseline.latency.quantiles},
        obstacle=Unavailable("different_images", f"the baseline was evaluated on {other_images}")
        if other_images
        else None,
        latency_obstacle=Unavailable("different_machine", f"the latencies have {other_provider}")
        if other_provider
        else None,
        same_verdicts=not differences(
            baseline.provenance, evaluation.provenance, "model", "images", "rule", "provider"
        ),
    )
    comparable = (
        None
        if other_images or predictions is None or baseline_predictions is None
        else baseline_errors(predictions, baseline_predictions)
    )
    return _basis(evaluation, predictions, in_use, comparable)


def rates_in_use(name: str, baseline: MeasuredRates) -> BaselineInUse:
    """Return the measured rates of a baseline model, exactly."""
    return BaselineInUse(
        name=name,
        clean=_exact(baseline.clean),
        formats={key: rate for key, one in baseline.clean_by_format.items() if (rate := _exact(one)) is not None},
        detections={key: rate for key, one in baseline.detections.items() if (rate := _exact(one)) is not None},
    )


def basis_against_recorded(
    evaluation: Evaluation, predictions: Sequence[Prediction] | None, recorded: Baseline
) -> CheckBasis:
    """Return the basis against a recorded baseline, for an evaluation on this machine."""
    in_use = recorded_in_use(recorded, evaluation.provenance)
    misclassified = recorded.misclassified
    if in_use.obstacle is not None or misclassified is None:
        return _basis(evaluation, predictions, in_use, None)
    return _basis(evaluation, predictions, in_use, _recorded_errors(predictions or (), recorded.counts, misclassified))


def _recorded_errors(
    predictions: Sequence[Prediction], counts: RecordedCounts, misclassified: frozenset[str]
) -> WasWrong:
    """Return the recorded errors, in slices of which as many files were recorded as are measured now.

    A file that is not listed was correct or not measured; in an extended slice, nothing distinguishes the two. Of equal
    files with different labels, one is wrong, and the list does not state which.
    """
    table = PredictionTable.of(predictions)
    stego, content = table.equals("file_class", "stego"), table.column("content")
    ambiguous = np.isin(content, np.intersect1d(content[stego], content[~stego]))
    recorded = {
        "clean": counts.clean,
        **{f"stego:{method}": one for method, one in counts.detections.items()},
        **{f"negative:{category}": one for category, one in counts.negatives.items()},
    }
    complete = np.zeros(len(table), np.bool_)
    for key, chosen in slice_masks(table).items():
        found = recorded.get(key)
        if found is not None and found.total == np.count_nonzero(chosen & table.measured):
            complete |= chosen
    return np.where(complete & ~ambiguous, table.with_content(misclassified), MISSING).astype(np.int8)


def recorded_in_use(recorded: Baseline, spec: EvaluationSpec) -> BaselineInUse:
    """Return the recorded rates and latencies, and why an evaluation on this machine cannot be compared with them."""
    rates, latencies = obstacle(recorded, spec), latency_obstacle(recorded, current_machine(spec.execution_provider))
    counts, provenance = recorded.counts, recorded.provenance
    ratio = recorded.false_positive_ratio
    return BaselineInUse(
        name=RECORDED,
        clean=None if ratio is None else _recorded(counts.clean, ratio),
        formats={
            name: _recorded(counts.clean_by_format.get(name), value)
            for name, value in recorded.false_positive_ratio_by_format.items()
        },
        detections={
            method: _recorded(counts.detections.get(method), value)
            for method, value in recorded.detection_ratios.items()
        },
        latency_seconds=recorded.latency_seconds,
        obstacle=None if rates is None else Unavailable(*rates),
        latency_obstacle=None if latencies is None else Unavailable(*latencies),
        is_recorded=True,
        same_verdicts=rates is None and provenance is not None and provenance.model_sha256 == spec.model_sha256,
    )


def _basis(
    evaluation: Evaluation,
    predictions: Sequence[Prediction] | None,
    baseline: BaselineInUse | None,
    was_wrong: WasWrong | None,
) -> CheckBasis:
    counts = counts_of_rates(evaluation) if predictions is None else slice_counts(predictions, was_wrong)
    return CheckBasis(counts, baseline)


def _exact(rate: Proportion) -> Fraction | None:
    return Fraction(rate.count, rate.total) if rate.total else None


def _recorded(counts: RecordedCount | None, ratio: float) -> Fraction:
    """Return the fraction of the counts, or the decimal of the ratio in a file without counts."""
    return Fraction(counts.count, counts.total) if counts is not None and counts.total else decimal(ratio)
