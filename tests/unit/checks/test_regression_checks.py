"""Results of the checks at the boundary of every limit, and the severity of failures."""

from __future__ import annotations

import math
from typing import Any

import pytest

from starlight_exporter.analysis.comparison import Comparison, PairedSlice
from starlight_exporter.checks.baseline import Baseline
from starlight_exporter.checks.checks import CheckResult, baseline_regressions, run_checks
from starlight_exporter.checks.limits import CHECK_NAMES
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


def one(checks: tuple[CheckResult, ...], name: str, of: str = "") -> CheckResult:
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
    changed = Baseline(**{**{field: getattr(BASELINE, field) for field in BASELINE.__slots__}, **baseline})
    assert one(run_checks(evaluation, changed), name, of).passed is passed


@pytest.mark.slow
def test_boundaries_do_not_depend_on_binary_rounding() -> None:
    """Binary products and sums miss the decimals baseline × 1.1, + 0.0002 and × 0.95 on either side."""
    for thousandths in range(1, 400):
        baseline = Baseline(false_positive_ratio=thousandths / 1000, detection_ratios={"exif": thousandths / 1000})
        assert [
            one(run_checks(of_clean(count, 10_000), baseline), name).passed
            for name, limit in (("fpr_baseline", thousandths * 11), ("fpr_stability", thousandths * 10 + 2))
            for count in (limit - 1, limit, limit + 1)
        ] == [True, True, False, True, False, False], thousandths
        assert [
            one(run_checks(of_detections(count, 100_000), baseline), "detection_baseline", "exif").passed
            for count in (thousandths * 95 - 1, thousandths * 95, thousandths * 95 + 1)
        ] == [False, True, True], thousandths


def test_reports_limit_and_counts() -> None:
    checks = run_checks(of_clean(12, 10_000), BASELINE)
    found = one(checks, "fpr_baseline")
    assert (found.value, found.limit) == (0.0012, 0.0011)
    assert found.detail == "0.12% (12 of 10,000); fails if > 0.11%"
    found = one(run_checks(empty_evaluation(latency=p95_latency(0.0041)), BASELINE), "latency_baseline", "p95")
    assert found.detail == "4.10 ms; fails if > 3.60 ms"


def test_baselinechecks_are_not_measured_without_baseline() -> None:
    checks = run_checks(of_clean(12, 10_000), None)
    for name in ("fpr_baseline", "fpr_stability"):
        assert one(checks, name).passed is None
        assert one(checks, name).significant is None
        assert one(checks, name).detail == "0.12% (12 of 10,000); no baseline"
    assert one(checks, "latency_baseline", "p95").passed is None
    partial = run_checks(of_clean(12, 10_000), Baseline(detection_ratios={"lsb": 0.9}))
    assert one(partial, "fpr_baseline").detail == "0.12% (12 of 10,000); not in the baseline"


def test_empty_evaluation_neither_passes_nor_fails() -> None:
    checks = run_checks(empty_evaluation(), BASELINE)
    assert {entry.passed for entry in checks} == {None}
    assert {entry.severity for entry in checks} == {None}
    # A format of the baseline has a result although the dataset has no such image.
    assert one(checks, "format_consistency", "png").detail == "no image of this slice was measured"
    assert one(checks, "latency_limit", "p95").detail == "too few timings for this quantile"


def test_runs_every_check_on_every_slice_in_order() -> None:
    evaluation = empty_evaluation(
        clean_by_format={"png": proportion(0, 1), "other": proportion(0, 1)},
        negatives={"patterns": proportion(0, 1), "special_cases": proportion(0, 0)},
    )
    checks = run_checks(evaluation, BASELINE)
    assert tuple(dict.fromkeys(entry.name for entry in checks)) == CHECK_NAMES
    assert len({(entry.name, entry.slice) for entry in checks}) == len(checks) == 3 + 15 + 2 + 2 + 2
    assert one(checks, "negatives", "special_cases").passed is None


@pytest.mark.parametrize(
    ("count", "total", "severity"),
    [
        (0, 100, None),
        # The rate exceeds 0.0011, its lower bound does not.
        (2, 1000, "warning"),
        (20, 1000, "critical"),
    ],
)
def test_false_positive_severity_follows_lower_bound(count: int, total: int, severity: str | None) -> None:
    found = one(run_checks(of_clean(count, total), BASELINE), "fpr_baseline")
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
def test_baselineseverity_follows_paired_test(fixed: int, broken: int, severity: str) -> None:
    pairs = PairedSlice(500, fixed, broken, mcnemar_p_value(fixed, broken))
    paired = [Comparison("now", "v3", "then", {"clean": pairs, "lsb": pairs}, 0)]
    evaluation = empty_evaluation(
        clean=proportion(2, 500),
        detections={m: proportion(92, 100) for m in METHODS},
        negatives={"x": proportion(1, 100)},
    )
    checks = run_checks(evaluation, BASELINE, paired)
    assert one(checks, "fpr_baseline").severity == severity
    assert one(checks, "fpr_stability").severity == severity
    assert one(checks, "detection_baseline", "lsb").severity == severity
    # The paired test does not apply to other images, to fixed limits or to passed checks.
    assert one(checks, "detection_baseline", "exif").severity == "warning"
    assert one(checks, "detection_floor", "lsb").severity == "warning"
    assert one(checks, "negatives", "x").severity == "warning"
    assert one(run_checks(of_clean(0, 500), BASELINE, paired), "fpr_baseline").severity is None


def test_detection_severity_follows_upper_bound() -> None:
    assert one(run_checks(of_detections(18, 20), BASELINE), "detection_floor", "lsb").severity == "warning"
    assert one(run_checks(of_detections(10, 20), BASELINE), "detection_floor", "lsb").severity == "critical"


def test_latency_severity_follows_lower_order_statistic() -> None:
    for lower, severity, significant in (
        (0.0049, "warning", False),
        (0.005, "critical", True),
        (None, "warning", None),
    ):
        found = one(run_checks(empty_evaluation(latency=p95_latency(0.006, lower=lower)), None), "latency_limit", "p95")
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
def test_missed_target_is_info_while_sample_is_too_small(count: int, total: int, severity: str | None) -> None:
    found = one(run_checks(of_clean(count, total), None), "fpr_target")
    assert found.severity == severity
    assert ("7,376 images are needed to confirm 0.05%" in found.detail) is (total < 7376)


def test_regressions_are_failed_baselinechecks() -> None:
    evaluation = empty_evaluation(
        clean=proportion(12, 10_000),
        detections=dict.fromkeys(METHODS, proportion(94, 100)),
        latency=p95_latency(0.0037),
    )
    found = baseline_regressions(run_checks(evaluation, BASELINE))
    assert [(entry.name, entry.slice) for entry in found] == [("fpr_baseline", ""), ("latency_baseline", "p95")]
    assert baseline_regressions(run_checks(evaluation, None)) == ()
