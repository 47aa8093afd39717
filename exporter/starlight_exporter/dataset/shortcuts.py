"""Find shortcuts: single facts of a file that separate stego files from clean files without looking at pixels.

A rule is `fact > threshold` or `fact <= threshold`. Its strength is Youden's J: detection rate minus false positive
rate, by five-fold cross-validation. Each method is compared with clean files of the same carriers (format and mode),
and facts that follow from the embedding itself (DEFINING_FACTS) are excluded.

Significance: labels are permuted within each carrier; the largest studentised J over all facts and methods of a
permutation is the null distribution of every J. Source: Westfall and Young, Resampling-Based Multiple Testing (1993).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Annotated, Final

import numpy as np
from numpy.typing import NDArray
from pydantic import AliasChoices, BeforeValidator, Field

from starlight_exporter.dataset.facts import FACTS, Fact, FactTable
from starlight_exporter.detector.contract import METHODS, Method
from starlight_exporter.statistics.intervals import TAIL, Proportion, clopper_pearson, proportion

FOLDS: Final = 5
MAX_BINS: Final = 64
PERMUTATIONS: Final = 999
MAX_TESTED_FILES: Final = 4000
"""Files of a method and its clean files in the permutation test; a random sample of more files."""
SIGNIFICANCE_LEVEL: Final = 0.01
MIN_YOUDEN_J: Final = 0.2
"""A significant rule is reported as a shortcut if the lower limit of its J is at least this."""

DEFINING_FACTS: Final[Mapping[Method, frozenset[Fact]]] = MappingProxyType(
    {
        "alpha": frozenset(("has_alpha", "alpha_distinct", "alpha_printable", "alpha_most_frequent_byte")),
        "palette": frozenset(("is_palette", "palette_bytes")),
        "lsb": frozenset(("lsb_distinct", "lsb_printable", "lsb_most_frequent_byte")),
        "exif": frozenset(("exif_bytes", "meta_bytes")),
        "eoi": frozenset(("tail_bytes", "meta_bytes")),
    }
)
"""Facts that the embedding changes: a detector is supposed to use them."""

_MIN_FILES: Final = 2 * FOLDS
_Facts = NDArray[np.float64]


def _rename_stored_facts(text: object) -> object:
    """Replace the names of facts in values stored by version 0.1.0."""
    return text.replace("_commonest", "_most_frequent_byte") if isinstance(text, str) else text


@dataclass(frozen=True, slots=True)
class Shortcut:
    """How well a rule on one fact separates the stego files of a method from clean files.

    `detected` counts stego files of the method, `false_positives` clean files, both by cross-validation; `rule` (as
    text) is fitted to all files. The limits of J hold jointly with 95%; `p_value` is adjusted for all facts and
    methods. Version 0.1.0 stored other names, and no J.
    """

    fact: Annotated[Fact, BeforeValidator(_rename_stored_facts)]
    rule: Annotated[str, BeforeValidator(_rename_stored_facts)]
    detected: Annotated[Proportion, Field(validation_alias=AliasChoices("detected", "found"))]
    false_positives: Annotated[Proportion, Field(validation_alias=AliasChoices("false_positives", "false_alarms"))]
    youden_j: float | None = None
    youden_j_lower: float | None = None
    youden_j_upper: float | None = None
    p_value: float | None = None

    @property
    def significant(self) -> bool:
        """Whether the rule is statistically significant."""
        return self.p_value is not None and self.p_value <= SIGNIFICANCE_LEVEL

    @property
    def is_fault(self) -> bool:
        """Whether the rule is significant and strong enough to be a fault of the data."""
        return self.significant and self.youden_j_lower is not None and self.youden_j_lower >= MIN_YOUDEN_J


@dataclass(frozen=True, slots=True)
class Rule:
    """`fact > threshold`, or `fact <= threshold` if not `above`; `column` is the position of the fact."""

    column: int
    above: bool
    threshold: float

    def matches(self, values: _Facts) -> int:
        """Return the number of rows of (files, facts) for which the rule is true."""
        greater = int(np.count_nonzero(values[:, self.column] > self.threshold))
        return greater if self.above else len(values) - greater

    def describe(self) -> str:
        """Return the rule as text."""
        return f"{FACTS[self.column]} {'>' if self.above else '<='} {self.threshold:.6g}"


@dataclass(frozen=True, slots=True)
class _Sample:
    """Stego files of a method and clean files of the same carriers: facts (files, facts) and carriers (files,)."""

    stego: _Facts
    clean: _Facts
    carriers: NDArray[np.str_]
    """Of the stego files, then of the clean files."""


def find_shortcuts(table: FactTable, *, seed: int = 0) -> dict[Method, Shortcut]:
    """Return the best rule for each method that has at least ten files, and ten clean files of the same carriers.

    The best rule is the one with the highest J among the significant rules; if none is significant, among all.
    """
    samples = {method: sample for method in METHODS if (sample := _sample(table, method)) is not None}
    p_values = _adjusted_p_values(samples, np.random.default_rng(seed))
    found: dict[Method, Shortcut] = {}
    for method, sample in samples.items():
        candidates = [
            _shortcut(column, sample, float(p_values[method][column]), seed) for column in _candidate_columns(method)
        ]
        found[method] = max(candidates, key=lambda one: (one.significant, one.youden_j or 0.0))
    return found


def best_rule(column: int, stego: _Facts, clean: _Facts) -> Rule:
    """Return the rule on one fact with the highest J; both arrays are (files, facts)."""
    cuts = _cuts(np.concatenate([stego[:, column], clean[:, column]]))
    if cuts.size == 0:
        return Rule(column, above=True, threshold=float(stego[0, column]))
    detected = 1 - np.searchsorted(np.sort(stego[:, column]), cuts, side="right") / len(stego)
    false = 1 - np.searchsorted(np.sort(clean[:, column]), cuts, side="right") / len(clean)
    best = int(np.argmax(np.abs(detected - false)))
    return Rule(column, above=bool(detected[best] >= false[best]), threshold=float(cuts[best]))


def _candidate_columns(method: Method) -> list[int]:
    return [column for column, fact in enumerate(FACTS) if fact not in DEFINING_FACTS[method]]


def _sample(table: FactTable, method: Method) -> _Sample | None:
    carriers = np.array(table.carriers)
    stego = np.array([label == ("stego", method) for label in table.labels], dtype=bool)
    clean = np.array([label == ("clean", None) for label in table.labels], dtype=bool)
    shared = np.isin(carriers, np.intersect1d(carriers[stego], carriers[clean]))
    stego, clean = stego & shared, clean & shared
    if min(np.count_nonzero(stego), np.count_nonzero(clean)) < _MIN_FILES:
        return None
    return _Sample(table.values[stego], table.values[clean], np.concatenate([carriers[stego], carriers[clean]]))


def _cuts(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return at most MAX_BINS - 1 thresholds: midpoints between the values, or quantiles of many distinct values."""
    distinct = np.unique(values)
    if len(distinct) <= MAX_BINS:
        return (distinct[1:] + distinct[:-1]) / 2
    inner = np.quantile(values, np.arange(1, MAX_BINS) / MAX_BINS, method="inverted_cdf")
    return np.unique(inner)[:-1] if inner[-1] == distinct[-1] else np.unique(inner)


def _adjusted_p_values(
    samples: Mapping[Method, _Sample], generator: np.random.Generator
) -> dict[Method, NDArray[np.float64]]:
    """Return p-values of shape (facts,) by method, adjusted for all facts and methods."""
    statistics = {method: _studentised(method, sample, generator) for method, sample in samples.items()}
    if not statistics:
        return {}
    largest = np.max([one[:, 1:].max(axis=0) for one in statistics.values()], axis=0)
    return {
        method: (1 + np.count_nonzero(largest >= one[:, :1], axis=1)) / (PERMUTATIONS + 1)
        for method, one in statistics.items()
    }


def _studentised(method: Method, sample: _Sample, generator: np.random.Generator) -> NDArray[np.float64]:
    """Return the studentised maximum |J| of each fact, shape (facts, 1 + PERMUTATIONS): observed, then permuted.

    Facts that are excluded, or constant within each carrier, are -inf.
    """
    values, is_stego, carriers = _tested_files(sample, generator)
    labels = np.empty((len(values), PERMUTATIONS + 1), dtype=np.int8)
    labels[:, 0] = is_stego
    for carrier in np.unique(carriers):
        rows = np.flatnonzero(carriers == carrier)
        repeated = np.repeat(labels[rows, :1], PERMUTATIONS, axis=1)
        labels[rows, 1:] = generator.permuted(repeated, axis=0)
    stego, clean = float(is_stego.sum()), float(len(is_stego) - is_stego.sum())
    studentised = np.full((len(FACTS), PERMUTATIONS + 1), -np.inf)
    for column in _candidate_columns(method):
        order = np.argsort(values[:, column], kind="stable")
        total = np.searchsorted(values[order, column], _cuts(values[:, column]), side="right")
        if total.size == 0:
            continue
        # The number of stego files up to each threshold, for all permutations at once.
        detected = np.cumsum(labels[order], axis=0, dtype=np.int32)[total - 1]
        strongest = np.abs(detected / stego - (total[:, np.newaxis] - detected) / clean).max(axis=0)
        deviation = float(strongest.std())
        if deviation > 0:
            studentised[column] = (strongest - strongest.mean()) / deviation
    return studentised


def _tested_files(
    sample: _Sample, generator: np.random.Generator
) -> tuple[_Facts, NDArray[np.bool_], NDArray[np.str_]]:
    values = np.concatenate([sample.stego, sample.clean])
    is_stego = np.arange(len(values)) < len(sample.stego)
    chosen = np.sort(generator.permutation(len(values))[:MAX_TESTED_FILES])
    return values[chosen], is_stego[chosen], sample.carriers[chosen]


def _shortcut(column: int, sample: _Sample, p_value: float, seed: int) -> Shortcut:
    generator = np.random.default_rng(seed)
    stego_folds, clean_folds = _folds(len(sample.stego), generator), _folds(len(sample.clean), generator)
    detected = false_positives = 0
    for fold in range(FOLDS):
        rule = best_rule(column, sample.stego[stego_folds != fold], sample.clean[clean_folds != fold])
        detected += rule.matches(sample.stego[stego_folds == fold])
        false_positives += rule.matches(sample.clean[clean_folds == fold])
    # Each pair of limits holds with 97.5%, so both hold with at least 95% (Bonferroni).
    detected_low, detected_high = clopper_pearson(detected, len(sample.stego), TAIL / 2)
    false_low, false_high = clopper_pearson(false_positives, len(sample.clean), TAIL / 2)
    return Shortcut(
        fact=FACTS[column],
        rule=best_rule(column, sample.stego, sample.clean).describe(),
        detected=proportion(detected, len(sample.stego)),
        false_positives=proportion(false_positives, len(sample.clean)),
        youden_j=detected / len(sample.stego) - false_positives / len(sample.clean),
        youden_j_lower=detected_low - false_high,
        youden_j_upper=detected_high - false_low,
        p_value=p_value,
    )


def _folds(files: int, generator: np.random.Generator) -> NDArray[np.int64]:
    """Return a random fold for each file; the sizes of the folds differ by at most one file."""
    return generator.permutation(files) % FOLDS
