"""Assessment of a result: comparisons with other results on the same images, and the checks with their basis."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

import structlog

from starlight_exporter.analysis.comparison import Comparison, compare
from starlight_exporter.checks.basis import basis_against_model, basis_against_recorded, basis_without_baseline
from starlight_exporter.checks.checks import run_checks
from starlight_exporter.checks.comparison_basis import CheckBasis
from starlight_exporter.checks.results import CheckResult
from starlight_exporter.errors import ComparisonError, StorageError
from starlight_exporter.evaluation.results import Evaluation, Prediction
from starlight_exporter.evaluation.spec import differences
from starlight_exporter.publish.evidence import Evidence
from starlight_exporter.publish.retention import Entry
from starlight_exporter.publish.snapshot import Snapshot
from starlight_exporter.statistics.latency_ratio import LatencyRatio

PREVIOUS: Final = "previous"
"""Name of the comparison with the model file that was replaced."""

_log = structlog.get_logger(__name__)

ReadPredictions = Callable[[Entry], Sequence[Prediction]]


@dataclass(frozen=True, slots=True)
class Assessment:
    """What follows from a result and the results that it is compared with."""

    comparisons: tuple[Comparison, ...]
    basis: CheckBasis
    checks: tuple[CheckResult, ...]


def assess(
    evaluation: Evaluation,
    predictions: Callable[[], Sequence[Prediction]] | None,
    snapshot: Snapshot,
    evidence: Evidence,
    read: ReadPredictions,
) -> Assessment:
    """Compare a result with the baseline and its predecessor, and check it.

    `predictions` is None if those of the evaluation are not stored; `read` returns the stored predictions of an entry.
    Without labels, no verdict is right or wrong, so there is nothing to compare or check.
    """
    if evaluation.unlabelled is not None:
        return Assessment((), basis_without_baseline(evaluation, None, "the dataset is unlabelled"), ())
    comparisons: tuple[Comparison, ...] = ()
    if predictions is not None:
        comparisons = _comparisons(evaluation, predictions, snapshot, evidence, read)
    checked = _as_configured(evaluation, snapshot)
    basis = _basis(checked, predictions, snapshot, evidence, read)
    return Assessment(comparisons, basis, run_checks(checked, basis, snapshot.limits))


def _as_configured(evaluation: Evaluation, snapshot: Snapshot) -> Evaluation:
    """Return a result with the model's current role, and without a latency ratio to an earlier baseline.

    Another model may have become the baseline, and its file may have changed, since the evaluation.
    """
    baseline = snapshot.baseline_model()
    role = snapshot.models[evaluation.model].role
    ratio = evaluation.latency_ratio
    if ratio is not None and (
        baseline is None
        or baseline.name == evaluation.model
        or ratio.baseline_sha256 not in (baseline.sha256, baseline.file_sha256)
    ):
        ratio = None
    return replace(evaluation, role=role, latency_ratio=ratio)


def _comparisons(
    evaluation: Evaluation,
    predictions: Callable[[], Sequence[Prediction]],
    snapshot: Snapshot,
    evidence: Evidence,
    read: ReadPredictions,
) -> tuple[Comparison, ...]:
    """Compare a result with that of the baseline model, which may have another rule, and the previous model file."""
    comparisons = []
    try:
        for against, entry in _others(evaluation, snapshot, evidence):
            try:
                comparisons.append(
                    compare(
                        evidence.evaluation(entry),
                        read(entry),
                        evaluation,
                        predictions(),
                        against=against,
                        same_rule=against == PREVIOUS,
                    )
                )
            except ComparisonError as error:
                _log.debug("evaluations not comparable", evaluation=evaluation.id, against=against, reason=str(error))
            except StorageError as error:
                _log.warning("evaluations not compared", evaluation=evaluation.id, against=against, reason=str(error))
    except StorageError as error:
        _log.warning("evaluations not compared", evaluation=evaluation.id, reason=str(error))
    return tuple(comparisons)


def _others(evaluation: Evaluation, snapshot: Snapshot, evidence: Evidence) -> Iterator[tuple[str, Entry]]:
    """Yield name and stored entry of each result to compare with. Raises StorageError."""
    baseline = _baseline_evaluation(evaluation, snapshot)
    if baseline is not None:
        entry = evidence.find(baseline.id)
        if entry is not None:
            yield baseline.model, entry
    predecessor = evidence.predecessor(evaluation)
    if predecessor is not None:
        yield PREVIOUS, predecessor


def _baseline_evaluation(evaluation: Evaluation, snapshot: Snapshot) -> Evaluation | None:
    """Return the displayed result of the baseline model on the same dataset."""
    model = snapshot.baseline_model()
    if model is None or model.name == evaluation.model:
        return None
    run = snapshot.runs.get((model.name, evaluation.dataset))
    return None if run is None else run.evaluation


def _basis(
    evaluation: Evaluation,
    predictions: Callable[[], Sequence[Prediction]] | None,
    snapshot: Snapshot,
    evidence: Evidence,
    read: ReadPredictions,
) -> CheckBasis:
    measured = None if predictions is None else predictions()
    baseline = _baseline_evaluation(evaluation, snapshot)
    if baseline is not None:
        basis = _basis_against_model(evaluation, measured, baseline, evidence, read)
    elif evaluation.role != "baseline" and snapshot.recorded_baseline is not None:
        basis = basis_against_recorded(evaluation, measured, snapshot.recorded_baseline)
    else:
        basis = basis_without_baseline(evaluation, measured, _why_no_baseline(evaluation, snapshot))
    return replace(basis, previous_latency=_previous_latency(evaluation, evidence))


def _why_no_baseline(evaluation: Evaluation, snapshot: Snapshot) -> str:
    model = snapshot.baseline_model()
    if model is None:
        return "no baseline is configured, or its file is not valid"
    if model.last_load_successful is False:
        return f"the baseline model {model.name} cannot be loaded ({model.last_failure})"
    return f"the baseline model {model.name} has no result on {evaluation.dataset} yet"


def _basis_against_model(
    evaluation: Evaluation,
    measured: Sequence[Prediction] | None,
    baseline: Evaluation,
    evidence: Evidence,
    read: ReadPredictions,
) -> CheckBasis:
    try:
        entry = evidence.find(baseline.id)
        if entry is not None:
            return basis_against_model(evaluation, measured, baseline, read(entry))
    except StorageError as error:
        _log.warning("predictions of the baseline not readable", evaluation=baseline.id, reason=str(error))
    return basis_against_model(evaluation, measured, baseline, None)


def _previous_latency(evaluation: Evaluation, evidence: Evidence) -> LatencyRatio | None:
    """Return the latency ratio of the evaluation before, if it is of the same two model files and images."""
    ratio = evaluation.latency_ratio
    if ratio is None:
        return None
    try:
        for entry in evidence.earlier(evaluation):
            if differences(entry.spec, evaluation.provenance, "model", "images"):
                return None
            previous = evidence.evaluation(entry).latency_ratio
            return previous if previous is not None and previous.baseline_sha256 == ratio.baseline_sha256 else None
    except StorageError as error:
        _log.warning("latency of the previous evaluation not readable", evaluation=evaluation.id, reason=str(error))
    return None


def stored_checks(evaluation: Evaluation, evidence: Evidence) -> Sequence[CheckResult]:
    """Return the stored checks of a result; none if they cannot be read."""
    try:
        entry = evidence.find(evaluation.id)
        return () if entry is None else evidence.checks(entry)
    except StorageError as error:
        _log.warning("stored checks not readable", evaluation=evaluation.id, reason=str(error))
        return ()
