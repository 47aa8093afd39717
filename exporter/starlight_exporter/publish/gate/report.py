"""Contents of the reports of one run of the gate."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from starlight_exporter.checks.counts import WasWrong, slice_masks
from starlight_exporter.checks.results import CheckResult
from starlight_exporter.checks.suite import SuiteTest
from starlight_exporter.checks.suite_result import slice_key
from starlight_exporter.evaluation.prediction_arrays import MISSING
from starlight_exporter.evaluation.prediction_table import PredictionTable
from starlight_exporter.evaluation.results import Evaluation, Prediction


@dataclass(frozen=True, slots=True)
class WrongImage:
    """A misclassified image; `broken` is whether the baseline is right on it, None without its verdict."""

    prediction: Prediction
    broken: bool | None


@dataclass(frozen=True, slots=True)
class WrongImages:
    """The misclassified images of one slice, broken ones first, and the checks that fail on it."""

    slice: str
    checks: tuple[CheckResult, ...]
    images: tuple[WrongImage, ...]

    @property
    def title(self) -> str:
        """The slice in words: `clean images`, `clean png`, `negatives of patterns`, `stego images of lsb`."""
        kind, _, name = self.slice.partition(":")
        words = {"clean": "clean images", "format": "clean", "negative": "negatives of", "stego": "stego images of"}
        return f"{words[kind]} {name}".rstrip()


@dataclass(frozen=True, slots=True)
class GateReport:
    """One run of the gate.

    `baseline` is the file of the baseline, empty without one; `baseline_evaluation` is None for a recorded baseline.
    `code` is the exit code, `result` the line of `result_line`, `seconds` the duration of the run. `unmeasured` are the
    images without a verdict.
    """

    evaluation: Evaluation
    baseline: str
    baseline_evaluation: Evaluation | None
    tests: tuple[SuiteTest, ...]
    code: int
    result: str
    seconds: float
    wrong: tuple[WrongImages, ...]
    unmeasured: tuple[Prediction, ...]

    @property
    def checks(self) -> tuple[CheckResult, ...]:
        """The results of all required checks."""
        return tuple(check for test in self.tests for check in test.checks)


def wrong_images(
    predictions: Sequence[Prediction], tests: Iterable[SuiteTest], was_wrong: WasWrong | None
) -> tuple[WrongImages, ...]:
    """Return the misclassified images of every slice with a failed check."""
    failed: dict[str, list[CheckResult]] = {}
    for check in (check for test in tests for check in test.checks):
        key = slice_key(check)
        if check.passed is False and key is not None:
            failed.setdefault(key, []).append(check)
    table = PredictionTable.of(predictions)
    masks, wrong, nothing = slice_masks(table), table.wrong == 1, np.zeros(len(table), np.bool_)
    return tuple(
        WrongImages(key, tuple(checks), _wrong(table, np.flatnonzero(masks.get(key, nothing) & wrong), was_wrong))
        for key, checks in failed.items()
    )


def _wrong(table: PredictionTable, numbers: NDArray[np.int64], was_wrong: WasWrong | None) -> tuple[WrongImage, ...]:
    broken: dict[int, bool | None] = {MISSING: None, 0: True, 1: False}
    before = [None] * len(numbers) if was_wrong is None else [broken[code] for code in was_wrong[numbers].tolist()]
    images = map(WrongImage, table.rows(numbers), before)
    return tuple(sorted(images, key=lambda one: not one.broken))


def distinct(groups: Sequence[WrongImages]) -> tuple[WrongImages, ...]:
    """Return the slices without those of formats if all clean images are one: each image is then in one slice only."""
    if not any(group.slice == "clean" for group in groups):
        return tuple(groups)
    formats = [group for group in groups if group.slice.startswith("format:")]
    checks = tuple(check for group in formats for check in group.checks)
    return tuple(
        replace(group, checks=(*group.checks, *checks)) if group.slice == "clean" else group
        for group in groups
        if group not in formats
    )
