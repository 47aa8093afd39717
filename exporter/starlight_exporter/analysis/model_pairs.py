"""Test which pairs of models are distinguished on which dataset and metric."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from typing import Final, Literal

import numpy as np

from starlight_exporter.analysis.comparison import in_slice
from starlight_exporter.analysis.paired_images import PairedImages
from starlight_exporter.analysis.study_metrics import (
    RATE_METRICS,
    TESTED_FIGURE_METRICS,
    TESTED_METRICS,
    RateMetric,
    StudyMetric,
)
from starlight_exporter.errors import ComparisonError
from starlight_exporter.evaluation.progress import Progress
from starlight_exporter.evaluation.results import Evaluation, RunResult
from starlight_exporter.evaluation.spec import differences
from starlight_exporter.statistics.figure_intervals import FigureReason
from starlight_exporter.statistics.multiple_testing import holm
from starlight_exporter.statistics.paired_rates import rate_difference
from starlight_exporter.statistics.swap_tests import required_swaps

SIGNIFICANCE_LEVEL: Final = 0.01
"""Pairs with an adjusted p-value below this are distinguished: at most 1% of studies of interchangeable models have
such a pair."""

PairConclusion = Literal["distinguished", "not distinguished", "not measured"]


@dataclass(frozen=True, slots=True)
class PairTest:
    """Metric of the first model minus that of the second on the `images` that both measured, from `covers` covers.

    `lower` and `upper` are the 95% interval; both are None if no resample differs. `only_first` and `only_second` are
    the images of a rate that are positive for one model only. `swaps` is the number of random swaps of the test of a
    figure of merit. `adjusted` is the p-value adjusted (Holm) over all measured tests of the study. Everything else is
    None if the difference is not measured, for the reason `not_measured`.
    """

    dataset: str
    first: str
    second: str
    metric: StudyMetric
    images: int
    covers: int
    not_measured: FigureReason | None = None
    value: float | None = None
    lower: float | None = None
    upper: float | None = None
    only_first: int | None = None
    only_second: int | None = None
    p_value: float | None = None
    swaps: int | None = None
    adjusted: float | None = None

    @property
    def conclusion(self) -> PairConclusion:
        """The conclusion from the adjusted p-value."""
        if self.adjusted is None:
            return "not measured"
        return "distinguished" if self.adjusted < SIGNIFICANCE_LEVEL else "not distinguished"


def max_swaps(models: int, datasets: int) -> int:
    """Return the largest number of swaps of a test, from the largest number of tests of such a study."""
    return required_swaps(models * (models - 1) // 2 * datasets * len(TESTED_METRICS), SIGNIFICANCE_LEVEL)


def pair_tests(
    datasets: Sequence[Sequence[RunResult]], *, seed: int, progress: Progress | None = None
) -> tuple[PairTest, ...]:
    """Test all pairs of models on each dataset; each element of `datasets` has the results of all models on one.

    Raise ComparisonError if a dataset changed between the evaluations.
    """
    swaps = max_swaps(len(datasets[0]), len(datasets))
    pairs = [pair for results in datasets for pair in combinations(results, 2)]
    tests: list[PairTest] = []
    for done, (first, second) in enumerate(pairs, start=1):
        _require_comparable(first.evaluation, second.evaluation)
        tests += metric_tests(first, second, seed=seed, swaps=swaps)
        if progress is not None:
            progress(done, len(pairs))
    measured = [test.p_value for test in tests if test.p_value is not None]
    adjusted = iter(holm(measured))
    return tuple(test if test.p_value is None else replace(test, adjusted=next(adjusted)) for test in tests)


def _require_comparable(first: Evaluation, second: Evaluation) -> None:
    if reason := differences(first.provenance, second.provenance, "images", "rule"):
        raise ComparisonError(f"{first.model} and {second.model} on {first.dataset} are not comparable: {reason}")


def metric_tests(first: RunResult, second: RunResult, *, seed: int, swaps: int) -> Iterator[PairTest]:
    """Yield the test of each of TESTED_METRICS for two models, without adjusted p-values."""
    images = PairedImages.of(first.predictions, second.predictions)
    names = (first.evaluation.dataset, first.evaluation.model, second.evaluation.model)
    for metric in RATE_METRICS:
        yield _rate_test(names, metric, images.subset(in_slice(images.first, metric.group)))
    yield from _figure_tests(names, images.clean_and_stego(), seed, swaps)


def _rate_test(names: tuple[str, str, str], metric: RateMetric, images: PairedImages) -> PairTest:
    covers = images.covers
    test = PairTest(*names, metric, len(covers), len(np.unique(covers)))
    if test.covers < 2:
        return replace(test, not_measured="one_cover" if len(covers) else "no_images")
    found = rate_difference(images.first.positive[images.numbers], images.second.positive[images.others], covers)
    return replace(
        test,
        value=found.value,
        lower=found.lower,
        upper=found.upper,
        only_first=found.only_first,
        only_second=found.only_second,
        p_value=found.p_value,
    )


def _figure_tests(names: tuple[str, str, str], images: PairedImages, seed: int, swaps: int) -> Iterator[PairTest]:
    covers = images.covers
    changes = images.figure_differences(seed=seed, swaps=swaps)
    for metric in TESTED_FIGURE_METRICS:
        change = changes[metric.name]
        yield PairTest(
            *names,
            metric,
            len(covers),
            len(np.unique(covers)),
            not_measured=change.not_measured,
            value=change.value,
            lower=change.lower,
            upper=change.upper,
            p_value=change.p_value,
            swaps=change.swaps,
        )
