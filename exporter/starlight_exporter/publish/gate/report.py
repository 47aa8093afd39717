"""Contents of the reports of one run of the gate."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from starlight_exporter.analysis.comparison import is_wrong
from starlight_exporter.checks.counts import WasWrong, slice_keys
from starlight_exporter.checks.results import CheckResult
from starlight_exporter.checks.suite import SuiteTest
from starlight_exporter.checks.suite_result import slice_key
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
    found: dict[str, list[WrongImage]] = {key: [] for key in failed}
    for prediction in predictions:
        if not is_wrong(prediction):
            continue
        before = None if was_wrong is None else was_wrong(prediction)
        for key in slice_keys(prediction):
            if key in found:
                found[key].append(WrongImage(prediction, None if before is None else not before))
    return tuple(
        WrongImages(key, tuple(failed[key]), tuple(sorted(images, key=lambda one: not one.broken)))
        for key, images in found.items()
    )


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
