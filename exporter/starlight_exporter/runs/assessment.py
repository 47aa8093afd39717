"""Assessment of a result: paired comparisons with other results on the same images, and the checks that follow."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final

import structlog

from starlight_exporter.analysis.comparison import Comparison, compare
from starlight_exporter.checks.checks import CheckResult, run_checks
from starlight_exporter.errors import ComparisonError, StorageError
from starlight_exporter.evaluation.results import Evaluation, Prediction
from starlight_exporter.publish.evidence import Evidence
from starlight_exporter.publish.retention import Entry
from starlight_exporter.publish.snapshot import Snapshot

PREVIOUS: Final = "previous"
"""Name of the comparison with the model file that was replaced."""

_log = structlog.get_logger(__name__)


def compare_with_others(
    evaluation: Evaluation,
    predictions: Callable[[], tuple[Prediction, ...]],
    snapshot: Snapshot,
    evidence: Evidence,
    read: Callable[[Entry], tuple[Prediction, ...]],
) -> tuple[Comparison, ...]:
    """Compare a result with the displayed results of the baseline models and with the previous model file.

    Results without stored predictions and results that are not comparable are skipped. `read` returns the stored
    predictions of an entry.
    """
    comparisons = []
    try:
        for against, entry in _others(evaluation, snapshot, evidence):
            try:
                comparisons.append(
                    compare(evidence.evaluation(entry), read(entry), evaluation, predictions(), against=against)
                )
            except ComparisonError as error:
                _log.debug("not compared", evaluation=evaluation.id, against=against, reason=str(error))
            except StorageError as error:
                _log.warning("not compared", evaluation=evaluation.id, against=against, reason=str(error))
    except StorageError as error:
        _log.warning("not compared", evaluation=evaluation.id, reason=str(error))
    return tuple(comparisons)


def check_result(
    evaluation: Evaluation, comparisons: Sequence[Comparison], snapshot: Snapshot
) -> tuple[CheckResult, ...]:
    """Check a result against the baseline file, with the paired tests against the baseline models."""
    models = snapshot.models
    paired = [one for one in comparisons if one.against in models and models[one.against].role == "baseline"]
    return run_checks(evaluation, models[evaluation.model].baseline, paired)


def _others(evaluation: Evaluation, snapshot: Snapshot, evidence: Evidence) -> Iterator[tuple[str, Entry]]:
    """Yield name and stored entry of each result to compare with. Raises StorageError."""
    for (model, dataset), run in snapshot.runs.items():
        is_other_baseline = snapshot.models[model].role == "baseline" and model != evaluation.model
        if is_other_baseline and dataset == evaluation.dataset and run.evaluation is not None:
            entry = evidence.find(run.evaluation.id)
            if entry is not None:
                yield model, entry
    predecessor = evidence.predecessor(evaluation)
    if predecessor is not None:
        yield PREVIOUS, predecessor
