"""Which stored evaluations make room for newer ones, and in which order."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from operator import attrgetter

from starlight_exporter.evaluation.spec import EvaluationSpec, differences
from starlight_exporter.statistics.intervals import Proportion

_AGE = attrgetter("finished_at", "id")


@dataclass(frozen=True, slots=True)
class Entry:
    """A stored evaluation, as far as lists and trends need it; `finished_at` is UTC seconds.

    `failed_checks` counts the regression checks that failed beyond a mere remark when it was stored.
    """

    id: str
    model: str
    dataset: str
    spec: EvaluationSpec
    finished_at: float
    clean: Proportion
    stego: Proportion
    failed_checks: int


def newest_first(entries: Iterable[Entry]) -> list[Entry]:
    """The order of every list of evaluations."""
    return sorted(entries, key=lambda entry: (entry.finished_at, entry.id), reverse=True)


def removal_order(entries: Iterable[Entry]) -> list[Entry]:
    """What goes first when room is needed: ordinary evaluations, then telling ones, then the newest of each pair.

    Each group goes oldest first. Telling are those with failed checks, and the last before and the first after the
    model file, the decision rule or the images changed: what somebody looks for who asks when it began.
    """
    of_pairs = _by_pair(entries)
    return [*_before_the_newest(of_pairs), *sorted((of_pair[-1] for of_pair in of_pairs), key=_AGE)]


def not_the_newest(entries: Iterable[Entry]) -> list[Entry]:
    """The same without the newest of each pair, which somebody looks at now."""
    return _before_the_newest(_by_pair(entries))


def too_many(entries: Iterable[Entry], keep: int) -> list[Entry]:
    """What exceeds `keep` evaluations of one model and dataset, in removal order."""
    return [entry for of_pair in _by_pair(entries) for entry in removal_order(of_pair)[: max(0, len(of_pair) - keep)]]


def _before_the_newest(of_pairs: Iterable[Sequence[Entry]]) -> list[Entry]:
    ordinary: list[Entry] = []
    telling: list[Entry] = []
    for of_pair in of_pairs:
        changes = _around_changes(of_pair)
        for entry in of_pair[:-1]:
            (telling if entry.failed_checks or entry.id in changes else ordinary).append(entry)
    return [*sorted(ordinary, key=_AGE), *sorted(telling, key=_AGE)]


def _by_pair(entries: Iterable[Entry]) -> list[list[Entry]]:
    """The entries of each model and dataset, oldest first."""
    pair = attrgetter("model", "dataset")
    ordered = sorted(entries, key=attrgetter("model", "dataset", "finished_at", "id"))
    return [list(group) for _, group in groupby(ordered, key=pair)]


def _around_changes(of_pair: Sequence[Entry]) -> set[str]:
    return {
        entry.id
        for before, after in pairwise(of_pair)
        if differences(before.spec, after.spec, "model", "images", "rule")
        for entry in (before, after)
    }
