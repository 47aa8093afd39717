"""Limit of the categories of negatives: each has metrics of its own, and a dataset may name one for every file."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

from starlight_exporter.dataset.labels import Labels, unlabelled

MAX_CATEGORIES: Final = 100


@dataclass(frozen=True, slots=True)
class CategoryLimit:
    """The categories that are measured, those with the most files, of `total`; files of the others are unlabelled."""

    kept: frozenset[str]
    total: int

    def applied(self, labels: Labels, path: str) -> Labels:
        """Return the labels of a file, with a problem if its category is not measured."""
        if labels.category is None or labels.category in self.kept:
            return labels
        text = f"its category is one of {self.total}, of which the {MAX_CATEGORIES} with the most files are measured"
        return replace(labels, category=None, problem=labels.problem or unlabelled(path, text).problem)


def category_limit(categories: Iterable[str | None]) -> CategoryLimit | None:
    """Return the limit for the categories of all negatives of a dataset; None if there are not too many."""
    counts = Counter(name for name in categories if name is not None)
    if len(counts) <= MAX_CATEGORIES:
        return None
    kept = sorted(counts, key=lambda name: (-counts[name], name))[:MAX_CATEGORIES]
    return CategoryLimit(frozenset(kept), len(counts))
