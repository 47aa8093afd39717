"""Retention: select the stored evaluations to delete first."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from operator import attrgetter

from starlight_exporter.evaluation.spec import Aspect, EvaluationSpec, differences
from starlight_exporter.statistics.intervals import Proportion

storage_order = attrgetter("sequence", "finished_at", "id")
"""Sort key of entries: the order in which they were stored, which steps of the system clock do not change."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A stored evaluation in lists and trends; `finished_at` is UTC seconds.

    `sequence` increases with every stored evaluation; 0 for those of versions before 0.2, which have none.
    `alarms` are those of an unlabelled dataset, None for a labelled one. `failed_checks` counts the failed checks of
    severity warning or critical, `significant_checks` the critical ones.
    """

    id: str
    model: str
    dataset: str
    spec: EvaluationSpec
    finished_at: float
    clean: Proportion
    stego: Proportion
    failed_checks: int
    significant_checks: int
    sequence: int = 0
    alarms: Proportion | None = None


def newest_first(entries: Iterable[Entry]) -> list[Entry]:
    """Return the entries in the order of every list of evaluations."""
    return sorted(entries, key=storage_order, reverse=True)


def deletion_order(entries: Iterable[Entry]) -> list[Entry]:
    """Return the entries in deletion order, each group oldest first.

    Routine evaluations first, then those that explain a change: with failed checks, or directly before or after a
    change of model file, decision rule, execution provider or labelled images; then the newest of each model and
    dataset.
    """
    by_pair = _by_pair(entries)
    return [*_all_but_newest(by_pair), *sorted((pair[-1] for pair in by_pair), key=storage_order)]


def deletion_order_without_newest(entries: Iterable[Entry]) -> list[Entry]:
    """Return the entries in deletion order, without the newest of each model and dataset, which is displayed."""
    return _all_but_newest(_by_pair(entries))


def excess(entries: Iterable[Entry], keep: int) -> list[Entry]:
    """Return the entries beyond `keep` of each model and dataset, in deletion order."""
    return [entry for pair in _by_pair(entries) for entry in deletion_order(pair)[: max(0, len(pair) - keep)]]


def _all_but_newest(by_pair: Iterable[Sequence[Entry]]) -> list[Entry]:
    routine: list[Entry] = []
    explaining: list[Entry] = []
    for pair in by_pair:
        changes = _around_changes(pair)
        for entry in pair[:-1]:
            (explaining if entry.failed_checks or entry.id in changes else routine).append(entry)
    return [*sorted(routine, key=storage_order), *sorted(explaining, key=storage_order)]


def _by_pair(entries: Iterable[Entry]) -> list[list[Entry]]:
    """Group the entries by model and dataset, each group oldest first."""
    pair = attrgetter("model", "dataset")
    ordered = sorted(entries, key=lambda entry: (*pair(entry), *storage_order(entry)))
    return [list(group) for _, group in groupby(ordered, key=pair)]


def _explaining(entry: Entry) -> tuple[Aspect, ...]:
    return ("model", "images", "rule", "provider") if entry.alarms is None else ("model", "rule", "provider")


def _around_changes(pair: Sequence[Entry]) -> set[str]:
    return {
        entry.id
        for before, after in pairwise(pair)
        if differences(before.spec, after.spec, *_explaining(after))
        for entry in (before, after)
    }
