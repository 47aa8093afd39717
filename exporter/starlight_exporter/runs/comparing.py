"""Which stored results are held against each other after a run, and the comparisons that come of it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import structlog

from starlight_exporter.analysis.comparison import Comparison, compare
from starlight_exporter.errors import ComparisonError, StorageError
from starlight_exporter.evaluation.results import Prediction
from starlight_exporter.publish.evidence import Evidence
from starlight_exporter.publish.retention import Entry
from starlight_exporter.publish.snapshot import Pair, Snapshot

PREVIOUS: Final = "previous"
"""The name under which a model is compared with the file that it replaced."""

_log = structlog.get_logger(__name__)


def comparisons(snapshot: Snapshot, evidence: Evidence, dataset: str) -> dict[Pair, tuple[Comparison, ...]]:
    """Every model's shown result on the dataset against the baseline model's, and against its own predecessor's.

    What has no stored predictions of the same images under the same rule is left out.
    """
    try:
        current = _current(snapshot, evidence, dataset)
    except StorageError as error:
        _log.warning("not compared", dataset=dataset, reason=str(error))
        return {}
    read: dict[str, tuple[Prediction, ...]] = {}

    def predictions(entry: Entry) -> tuple[Prediction, ...]:
        if entry.id not in read:
            read[entry.id] = evidence.predictions(entry)
        return read[entry.id]

    result: dict[Pair, tuple[Comparison, ...]] = {}
    for model, entry in current.items():
        found = []
        for against, other in _others(snapshot, evidence, current, model):
            try:
                found.append(
                    compare(
                        evidence.evaluation(other),
                        predictions(other),
                        evidence.evaluation(entry),
                        predictions(entry),
                        against=against,
                    )
                )
            except ComparisonError as error:
                _log.debug("not compared", model=model, against=against, dataset=dataset, reason=str(error))
            except StorageError as error:
                _log.warning("not compared", model=model, against=against, dataset=dataset, reason=str(error))
        result[model, dataset] = tuple(found)
    return result


def _current(snapshot: Snapshot, evidence: Evidence, dataset: str) -> dict[str, Entry]:
    """Model → the stored entry of the result that is shown of it."""
    current: dict[str, Entry] = {}
    for (model, name), run in snapshot.runs.items():
        if name == dataset and run.evaluation is not None:
            entry = evidence.find(run.evaluation.id)
            if entry is not None:
                current[model] = entry
    return current


def _others(
    snapshot: Snapshot, evidence: Evidence, current: dict[str, Entry], model: str
) -> Iterator[tuple[str, Entry]]:
    for name, entry in current.items():
        if name != model and snapshot.models[name].role == "baseline":
            yield name, entry
    try:
        predecessor = evidence.predecessor(current[model])
    except StorageError as error:
        _log.warning("not compared", model=model, against=PREVIOUS, reason=str(error))
        return
    if predecessor is not None:
        yield PREVIOUS, predecessor
