"""Every row of the threshold table at its boundary, and how chance decides the severity."""

from __future__ import annotations

import math
from typing import Any

import pytest

from starlight_exporter.analysis.comparison import Comparison, PairedSlice
from starlight_exporter.checks.baseline import Baseline
from starlight_exporter.checks.regression import CHECK_NAMES, Check, baseline_regressions, check
from starlight_exporter.detector.contract import METHODS
from starlight_exporter.evaluation.results import Evaluation
from starlight_exporter.statistics.hypothesis_tests import mcnemar_p_value
from starlight_exporter.statistics.intervals import proportion
from support.results import empty_evaluation, p95_latency

BASELINE = Baseline(
    false_positive_ratio=0.001,
    detection_ratios=dict.fromkeys(METHODS, 0.98),
    latency_seconds={0.95: 0.003},
    false_positive_ratio_by_format={"png": 0.001},
)


def one(checks: tuple[Check, ...], name: str, of: str = "") -> Check:
    (found,) = (entry for entry in checks if entry.name == name and entry.slice == of)
    return found


def of_clean(count: int, total: int) -> Evaluation:
    return empty_evaluation(clean=proportion(count, total))


def of_detections(count: int, total: int) -> Evaluation:
    return empty_evaluation(detections=dict.fromkeys(METHODS, proportion(count, total)))


@pytest.mark.parametrize(
    ("name", "of", "evaluation", "baseline", "passed"),
    [
        # fpr > baseline × 1.1, strictly: 11 of 10,000 is exactly 1.1 × 0.001.
        ("fpr_baseline", "", of_clean(11, 10_000), {}, True),
        ("fpr_baseline", "", of_clean(12, 10_000), {}, False),
        ("fpr_baseline", "", of_clean(0, 10), {"false_positive_ratio": 0.0}, True),
        ("fpr_baseline", "", of_clean(1, 10), {"false_positive_ratio": 0.0}, False),
        # fpr >= baseline + 0.0002
        ("fpr_stability", "", of_clean(11, 10_000), {}, True),
        ("fpr_stability", "", of_clean(12, 10_000), {}, False),
        # fpr >= 0.0005
        ("fpr_target", "", of_clean(49, 100_000), {}, True),
        ("fpr_target", "", of_clean(5, 10_000), {}, False),
        # rate < baseline × 0.95 = 0.931, strictly
        ("detection_baseline", "lsb", of_detections(931, 1000), {}, True),
        ("detection_baseline", "lsb", of_detections(930, 1000), {}, False),
        # rate <= 0.95 and rate <= 0.99
        ("detection_floor", "eoi", of_detections(951, 1000), {}, True),
        ("detection_floor", "eoi", of_detections(950, 1000), {}, False),
        ("detection_target", "alpha", of_detections(991, 1000), {}, True),
        ("detection_target", "alpha", of_detections(990, 1000), {}, False),
        # p95 > baseline × 1.2 = 3.6 ms, strictly
        ("latency_baseline", "p95", empty_evaluation(latency=p95_latency(0.0036)), {}, True),
        ("latency_baseline", "p95", empty_evaluation(latency=p95_latency(math.nextafter(0.0036, 1))), {}, False),
        # p95 >= 5 ms
        ("latency_limit", "p95", empty_evaluation(latency=p95_latency(math.nextafter(0.005, 0))), {}, True),
        ("latency_limit", "p95", empty_evaluation(latency=p95_latency(0.005)), {}, False),
        # by format >= its baseline + 0.0002, or 0.1 % + 0.0002 without one
        ("format_consistency", "png", empty_evaluation(clean_by_format={"png": proportion(11, 10_000)}), {}, True),
        ("format_consistency", "png", empty_evaluation(clean_by_format={"png": proportion(12, 10_000)}), {}, False),
        (
            "format_consistency",
            "png",
            empty_evaluation(clean_by_format={"png": proportion(52, 10_000)}),
            {"false_positive_ratio_by_format": {"png": 0.005}},
            False,
        ),
        ("format_consistency", "gif", empty_evaluation(clean_by_format={"gif": proportion(11, 10_000)}), {}, True),
        ("format_consistency", "gif", empty_evaluation(clean_by_format={"gif": proportion(12, 10_000)}), {}, False),
        # negatives >= 0.5 %
        ("negatives", "patterns", empty_evaluation(negatives={"patterns": proportion(4, 1000)}), {}, True),
        ("negatives", "patterns", empty_evaluation(negatives={"patterns": proportion(5, 1000)}), {}, False),
    ],
)
def test_boundaries(name: str, of: str, evaluation: Evaluation, baseline: dict[str, Any], passed: bool) -> None:
    promised = Baseline(**{**{field: getattr(BASELINE, field) for field in BASELINE.__slots__}, **baseline})
    assert one(check(evaluation, promised), name, of).passed is passed


def test_boundaries_do_not_depend_on_binary_rounding() -> None:
    """baseline × 1.1, + 0.0002 and × 0.95 are decimals that binary products and sums miss on either side."""
    for thousandths in range(1, 400):
        promised = Baseline(false_positive_ratio=thousandths / 1000, detection_ratios={"exif": thousandths / 1000})
        assert [
            one(check(of_clean(count, 10_000), promised), name).passed
            for name, limit in (("fpr_baseline", thousandths * 11), ("fpr_stability", thousandths * 10 + 2))
            for count in (limit - 1, limit, limit + 1)
        ] == [True, True, False, True, False, False], thousandths
        assert [
            one(check(of_detections(count, 100_000), promised), "detection_baseline", "exif").passed
            for count in (thousandths * 95 - 1, thousandths * 95, thousandths * 95 + 1)
        ] == [False, True, True], thousandths


def test_limits_are_shown() -> None:
    checks = check(of_clean(12, 10_000), BASELINE)
    found = one(checks, "fpr_baseline")
    assert (found.value, found.limit) == (0.0012, 0.0011)
    assert found.detail == "12 of 10000; fails when > 0.0011"
    found = one(check(empty_evaluation(latency=p95_latency(0.0041)), BASELINE), "latency_baseline", "p95")
    assert found.detail == "4.100 ms; fails when > 3.600 ms"


def test_without_a_baseline_its_checks_are_not_measured() -> None:
    checks = check(of_clean(12, 10_000), None)
    for name in ("fpr_baseline", "fpr_stability"):
        assert one(checks, name).passed is None
        assert one(checks, name).significant is None
        assert one(checks, name).detail == "12 of 10000; no baseline"
    assert one(checks, "latency_baseline", "p95").passed is None
    partial = check(of_clean(12, 10_000), Baseline(detection_ratios={"lsb": 0.9}))
    assert one(partial, "fpr_baseline").detail == "12 of 10000; the baseline does not hold it"


def test_nothing_measured_passes_nothing_and_fails_nothing() -> None:
    checks = check(empty_evaluation(), BASELINE)
    assert {entry.passed for entry in checks} == {None}
    assert {entry.severity for entry in checks} == {None}
    # The promised format is there, as not measured, though the dataset has no such image.
    assert one(checks, "format_consistency", "png").detail == "no image of this slice was measured"
    assert one(checks, "latency_limit", "p95").detail == "too few timings for this quantile"


def test_every_check_is_there_for_every_slice_in_the_order_of_the_table() -> None:
    evaluation = empty_evaluation(
        clean_by_format={"png": proportion(0, 1), "other": proportion(0, 1)},
        negatives={"patterns": proportion(0, 1), "special_cases": proportion(0, 0)},
    )
    checks = check(evaluation, BASELINE)
    assert tuple(dict.fromkeys(entry.name for entry in checks)) == CHECK_NAMES
    assert len({(entry.name, entry.slice) for entry in checks}) == len(checks) == 3 + 15 + 2 + 2 + 2
    assert one(checks, "negatives", "special_cases").passed is None


@pytest.mark.parametrize(
    ("count", "total", "severity"),
    [
        (0, 100, None),
        # The point value is past 0.0011, its lower bound is not.
        (2, 1000, "warning"),
        (20, 1000, "critical"),
    ],
)
def test_severity_of_a_rate_follows_its_lower_bound(count: int, total: int, severity: str | None) -> None:
    found = one(check(of_clean(count, total), BASELINE), "fpr_baseline")
    assert found.severity == severity
    assert found.significant is (severity == "critical")


@pytest.mark.parametrize(
    ("fixed", "broken", "severity"),
    [
        (0, 8, "critical"),
        (0, 7, "warning"),
        (8, 0, "warning"),
        (4, 16, "warning"),
        (3, 17, "critical"),
        (0, 0, "warning"),
    ],
)
def test_severity_against_the_baseline_follows_the_paired_test(fixed: int, broken: int, severity: str) -> None:
    pairs = PairedSlice(500, fixed, broken, mcnemar_p_value(fixed, broken))
    paired = [Comparison("now", "v3", "then", {"clean": pairs, "lsb": pairs}, 0)]
    evaluation = empty_evaluation(
        clean=proportion(2, 500),
        detections={m: proportion(92, 100) for m in METHODS},
        negatives={"x": proportion(1, 100)},
    )
    checks = check(evaluation, BASELINE, paired)
    assert one(checks, "fpr_baseline").severity == severity
    assert one(checks, "fpr_stability").severity == severity
    assert one(checks, "detection_baseline", "lsb").severity == severity
    # Of other images, against a fixed limit, or passed: nothing that this comparison could say.
    assert one(checks, "detection_baseline", "exif").severity == "warning"
    assert one(checks, "detection_floor", "lsb").severity == "warning"
    assert one(checks, "negatives", "x").severity == "warning"
    assert one(check(of_clean(0, 500), BASELINE, paired), "fpr_baseline").severity is None


def test_severity_of_a_detection_follows_its_upper_bound() -> None:
    assert one(check(of_detections(18, 20), BASELINE), "detection_floor", "lsb").severity == "warning"
    assert one(check(of_detections(10, 20), BASELINE), "detection_floor", "lsb").severity == "critical"


def test_severity_of_latency_follows_its_lower_order_statistic() -> None:
    for lower, severity, significant in (
        (0.0049, "warning", False),
        (0.005, "critical", True),
        (None, "warning", None),
    ):
        found = one(check(empty_evaluation(latency=p95_latency(0.006, lower=lower)), None), "latency_limit", "p95")
        assert (found.severity, found.significant) == (severity, significant)


@pytest.mark.parametrize(
    ("count", "total", "severity"),
    [
        (1, 1000, "info"),
        (1, 1999, "info"),
        (10, 1000, "critical"),
        (4, 7375, "info"),
        (4, 7376, "warning"),
        (0, 1000, None),
    ],
)
def test_the_target_is_only_information_while_the_sample_is_too_small(
    count: int, total: int, severity: str | None
) -> None:
    found = one(check(of_clean(count, total), None), "fpr_target")
    assert found.severity == severity
    assert ("7376 images are needed" in found.detail) is (total < 7376)


def test_regressions_are_the_failed_baseline_checks_alone() -> None:
    evaluation = empty_evaluation(
        clean=proportion(12, 10_000),
        detections=dict.fromkeys(METHODS, proportion(94, 100)),
        latency=p95_latency(0.0037),
    )
    found = baseline_regressions(check(evaluation, BASELINE))
    assert [(entry.name, entry.slice) for entry in found] == [("fpr_baseline", ""), ("latency_baseline", "p95")]
    assert baseline_regressions(check(evaluation, None)) == ()
