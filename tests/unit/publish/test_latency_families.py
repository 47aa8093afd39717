"""Metrics of the paired latency run: the clock in use, and absence without a baseline model."""

from __future__ import annotations

from dataclasses import replace

import pytest

from starlight_exporter.evaluation.results import Evaluation
from starlight_exporter.publish.families.latency import evaluation_samples
from support.snapshots import full_evaluation

PREFIX = "starlight_latency_"


def values(evaluation: Evaluation) -> dict[str, float]:
    return {
        sample.family.name.removeprefix(PREFIX): sample.value
        for sample in evaluation_samples(evaluation)
        if sample.family.name.removeprefix(PREFIX) in ("baseline_ratio", "baseline_ratio_lower", "contention_ratio")
    }


@pytest.mark.parametrize("contention", [0.0, 0.05, 0.0501, 0.4])
def test_ratio_and_bound_are_of_the_clock_in_use(contention: float) -> None:
    evaluation = full_evaluation()
    assert evaluation.latency_ratio is not None
    ratio = replace(evaluation.latency_ratio, contention=contention)
    clock = ratio.cpu if contention > 0.05 else ratio.wall
    assert values(replace(evaluation, latency_ratio=ratio)) == {
        "baseline_ratio": clock.value,
        "baseline_ratio_lower": clock.lower,
        "contention_ratio": contention,
    }


def test_single_run_has_only_its_own_contention() -> None:
    assert values(replace(full_evaluation(), latency_ratio=None)) == {"contention_ratio": 0.0043}


def test_values_that_were_not_measured_are_absent() -> None:
    evaluation = replace(full_evaluation(), latency_ratio=None)
    assert evaluation.latency is not None
    assert values(replace(evaluation, latency=replace(evaluation.latency, contention=None))) == {}
    assert values(replace(evaluation, latency=None)) == {}
