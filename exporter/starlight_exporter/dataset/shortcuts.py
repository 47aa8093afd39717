"""How much of each method a rule on a single fact finds: what a detector could score without looking at a pixel.

The rule is `fact > threshold` or `fact < threshold`, for the fact, direction and threshold that find most stego files
at next to no false alarm. It is chosen on four fifths of the files and counted on the last fifth, five times over, so
that no file is counted by a rule that was made to fit it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from starlight_exporter.dataset.facts import FACTS, Fact, FactTable
from starlight_exporter.detector.contract import METHODS, Method
from starlight_exporter.statistics.intervals import Proportion, proportion

FOLDS: Final = 5
FALSE_ALARMS_ALLOWED: Final = 0.01
"""Share of clean files that a rule may take for stego where it is chosen."""

_LEAST: Final = 2 * FOLDS

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Shortcut:
    """How far one rule on one fact of a file, chosen on other files, separates a method's files from clean ones.

    `found` are stego files of the method, `false_alarms` clean files, both counted on files that the rule was not
    chosen on. `fact` and `rule` (in words) are those of the best rule over all files.
    """

    fact: Fact
    rule: str
    found: Proportion
    false_alarms: Proportion


@dataclass(frozen=True, slots=True)
class Rule:
    """`sign * fact > threshold`: above a threshold for sign 1, below its negative for sign -1."""

    column: int
    sign: int
    threshold: float

    def hits(self, values: Floats) -> int:
        """How many rows of (files, facts) the rule is true of."""
        return int(np.count_nonzero(self.sign * values[:, self.column] > self.threshold))

    def describe(self) -> str:
        """The rule in words."""
        return f"{FACTS[self.column]} {'>' if self.sign > 0 else '<'} {self.sign * self.threshold:.6g}"


def find_shortcuts(table: FactTable, *, seed: int = 0) -> dict[Method, Shortcut]:
    """The best rule for each method; a method with fewer than ten files, or with as few clean ones, is left out."""
    clean = table.rows("clean")
    found: dict[Method, Shortcut] = {}
    for method in METHODS:
        stego = table.rows("stego", method)
        if min(len(stego), len(clean)) >= _LEAST:
            found[method] = _shortcut(stego, clean, seed)
    return found


def best_rule(stego: Floats, clean: Floats) -> Rule:
    """The rule that finds most rows of `stego` while at most FALSE_ALARMS_ALLOWED of `clean` are hit.

    Both are (files, facts). Among equally good rules the first fact wins, so that the choice is reproducible.
    """
    allowed = int(FALSE_ALARMS_ALLOWED * len(clean))
    best, most = Rule(0, 1, np.inf), -1
    for sign in (1, -1):
        limits = np.sort(sign * clean, axis=0)[len(clean) - 1 - allowed]
        hits = np.count_nonzero(sign * stego > limits, axis=0)
        column = int(np.argmax(hits))
        if hits[column] > most:
            most = int(hits[column])
            values = np.concatenate([sign * stego[:, column], sign * clean[:, column]])
            above = values[values > limits[column]]
            # Halfway to the next value that occurs: other files do not have exactly these values.
            threshold = limits[column] if above.size == 0 else (limits[column] + above.min()) / 2
            best = Rule(column, sign, float(threshold))
    return best


def _shortcut(stego: Floats, clean: Floats, seed: int) -> Shortcut:
    rng = np.random.default_rng(seed)
    stego_folds, clean_folds = _folds(len(stego), rng), _folds(len(clean), rng)
    found = alarms = 0
    for fold in range(FOLDS):
        rule = best_rule(stego[stego_folds != fold], clean[clean_folds != fold])
        found += rule.hits(stego[stego_folds == fold])
        alarms += rule.hits(clean[clean_folds == fold])
    overall = best_rule(stego, clean)
    return Shortcut(
        fact=FACTS[overall.column],
        rule=overall.describe(),
        found=proportion(found, len(stego)),
        false_alarms=proportion(alarms, len(clean)),
    )


def _folds(files: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """The fold of each file, drawn; folds differ by at most one file, in each class apart."""
    return rng.permutation(files) % FOLDS
