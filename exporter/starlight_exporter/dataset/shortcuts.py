"""Find shortcuts: the detection rate of a rule on a single fact of a file, without looking at pixels.

The rule is `fact > threshold` or `fact < threshold`, with the fact, direction and threshold that detect most stego
files at a false positive rate of at most MAX_FALSE_POSITIVE_RATE. It is chosen and counted by five-fold
cross-validation, so that no file is counted by a rule that was fitted to it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Final

import numpy as np
from numpy.typing import NDArray
from pydantic import AliasChoices, BeforeValidator, Field

from starlight_exporter.dataset.facts import FACTS, Fact, FactTable
from starlight_exporter.detector.contract import METHODS, Method
from starlight_exporter.statistics.intervals import Proportion, proportion

FOLDS: Final = 5
MAX_FALSE_POSITIVE_RATE: Final = 0.01
"""Largest false positive rate of a rule on the files that it is fitted to."""

_MIN_FILES: Final = 2 * FOLDS
_Facts = NDArray[np.float64]


def _rename_stored_facts(text: object) -> object:
    """Replace the names of facts in values stored by version 0.1.0."""
    return text.replace("_commonest", "_most_frequent_byte") if isinstance(text, str) else text


@dataclass(frozen=True, slots=True)
class Shortcut:
    """How well a rule on one fact separates the stego files of a method from clean files.

    `detected` counts stego files of the method, `false_positives` clean files, both by cross-validation. `fact` and
    `rule` (as text) are those of the best rule over all files. Version 0.1.0 stored other names.
    """

    fact: Annotated[Fact, BeforeValidator(_rename_stored_facts)]
    rule: Annotated[str, BeforeValidator(_rename_stored_facts)]
    detected: Annotated[Proportion, Field(validation_alias=AliasChoices("detected", "found"))]
    false_positives: Annotated[Proportion, Field(validation_alias=AliasChoices("false_positives", "false_alarms"))]


@dataclass(frozen=True, slots=True)
class Rule:
    """`sign * fact > threshold`: above a threshold for sign 1, below its negative for sign -1."""

    column: int
    sign: int
    threshold: float

    def matches(self, values: _Facts) -> int:
        """Return the number of rows of (files, facts) for which the rule is true."""
        return int(np.count_nonzero(self.sign * values[:, self.column] > self.threshold))

    def describe(self) -> str:
        """Return the rule as text."""
        return f"{FACTS[self.column]} {'>' if self.sign > 0 else '<'} {self.sign * self.threshold:.6g}"


def find_shortcuts(table: FactTable, *, seed: int = 0) -> dict[Method, Shortcut]:
    """Return the best rule for each method that has at least ten files, if there are at least ten clean files."""
    clean = table.rows("clean")
    found: dict[Method, Shortcut] = {}
    for method in METHODS:
        stego = table.rows("stego", method)
        if min(len(stego), len(clean)) >= _MIN_FILES:
            found[method] = _shortcut(stego, clean, seed)
    return found


def best_rule(stego: _Facts, clean: _Facts) -> Rule:
    """Return the rule that matches most rows of `stego` and at most MAX_FALSE_POSITIVE_RATE of `clean`.

    Both have the shape (files, facts). Among equally good rules the first fact is used, so that the result is
    reproducible.
    """
    allowed = int(MAX_FALSE_POSITIVE_RATE * len(clean))
    best, most = Rule(0, 1, np.inf), -1
    for sign in (1, -1):
        limits = np.sort(sign * clean, axis=0)[len(clean) - 1 - allowed]
        matches = np.count_nonzero(sign * stego > limits, axis=0)
        column = int(np.argmax(matches))
        if matches[column] > most:
            most = int(matches[column])
            values = np.concatenate([sign * stego[:, column], sign * clean[:, column]])
            above = values[values > limits[column]]
            # Halfway to the next occurring value, because other files do not have exactly the same values.
            threshold = limits[column] if above.size == 0 else (limits[column] + above.min()) / 2
            best = Rule(column, sign, float(threshold))
    return best


def _shortcut(stego: _Facts, clean: _Facts, seed: int) -> Shortcut:
    rng = np.random.default_rng(seed)
    stego_folds, clean_folds = _folds(len(stego), rng), _folds(len(clean), rng)
    detected = false_positives = 0
    for fold in range(FOLDS):
        rule = best_rule(stego[stego_folds != fold], clean[clean_folds != fold])
        detected += rule.matches(stego[stego_folds == fold])
        false_positives += rule.matches(clean[clean_folds == fold])
    overall = best_rule(stego, clean)
    return Shortcut(
        fact=FACTS[overall.column],
        rule=overall.describe(),
        detected=proportion(detected, len(stego)),
        false_positives=proportion(false_positives, len(clean)),
    )


def _folds(files: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return a random fold for each file. Sizes of folds differ by at most one."""
    return rng.permutation(files) % FOLDS
