"""Results of the checks at the boundary of every limit, their significance and their severity."""

from __future__ import annotations

import math
from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest

from starlight_exporter.checks.basis import basis_without_baseline
from starlight_exporter.checks.checks import baseline_regressions, run_checks
from starlight_exporter.checks.comparison_basis import BaselineInUse
from starlight_exporter.checks.limits import CHECK_NAMES, DEFAULT_LIMITS, CheckLimits, CheckName
from starlight_exporter.checks.results import CheckResult, Unavailable
from starlight_exporter.checks.significance import SIGNIFICANCE_LEVEL
from starlight_exporter.detector.contract import METHODS
from starlight_exporter.evaluation.results import Evaluation
from starlight_exporter.statistics.intervals import proportion
from support.checks import BASELINE, checked, one, pairs
from support.results import empty_evaluation, p95_latency


def of_clean(count: int, total: int) -> Evaluation:
    return empty_evaluation(clean=proportion(count, total))


def of_detections(count: int, total: int) -> Evaluation:
    return empty_evaluation(detections=dict.fromkeys(METHODS, proportion(count, total)))


def of_format(name: str, count: int, total: int) -> Evaluation:
    return empty_evaluation(clean_by_format={name: proportion(count, total)})


@pytest.mark.parametrize(
    ("name", "of", "evaluation", "baseline", "passed"),
    [
        # fpr > baseline × 1.1, strictly: 11 of 10,000 is exactly 1.1 × 0.001.
        ("fpr_baseline", "", of_clean(11, 10_000), {}, True),
        ("fpr_baseline", "", of_clean(12, 10_000), {}, False),
        ("fpr_baseline", "", of_clean(0, 10), {"clean": Fraction(0)}, True),
        ("fpr_baseline", "", of_clean(1, 10), {"clean": Fraction(0)}, False),
        # A third has no decimal: 3 of 10 is not above 1.1 × 3/11.
        ("fpr_baseline", "", of_clean(3, 10), {"clean": Fraction(3, 11)}, True),
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
        # by format >= its baseline + 0.0002, or 0.1% + 0.0002 without one
        ("format_consistency", "png", of_format("png", 11, 10_000), {}, True),
        ("format_consistency", "png", of_format("png", 12, 10_000), {}, False),
        ("format_consistency", "png", of_format("png", 52, 10_000), {"formats": {"png": Fraction("0.005")}}, False),
        ("format_consistency", "gif", of_format("gif", 11, 10_000), {}, True),
        ("format_consistency", "gif", of_format("gif", 12, 10_000), {}, False),
        # negatives >= 0.5%
        ("negatives", "patterns", empty_evaluation(negatives={"patterns": proportion(4, 1000)}), {}, True),
        ("negatives", "patterns", empty_evaluation(negatives={"patterns": proportion(5, 1000)}), {}, False),
    ],
)
def test_boundaries(name: str, of: str, evaluation: Evaluation, baseline: dict[str, Any], passed: bool) -> None:
    assert one(checked(evaluation, replace(BASELINE, **baseline)), name, of).passed is passed


@pytest.mark.slow
def test_boundaries_do_not_depend_on_binary_rounding() -> None:
    """Binary products and sums miss the decimals baseline × 1.1, + 0.0002 and × 0.95 on either side."""
    for thousandths in range(1, 400):
        base = Fraction(thousandths, 1000)
        baseline = BaselineInUse("b", clean=base, detections={"exif": base})
        assert [
            one(checked(of_clean(count, 10_000), baseline), name).passed
            for name, limit in (("fpr_baseline", thousandths * 11), ("fpr_stability", thousandths * 10 + 2))
            for count in (limit - 1, limit, limit + 1)
        ] == [True, True, False, True, False, False], thousandths
        assert [
            one(checked(of_detections(count, 100_000), baseline), "detection_baseline", "exif").passed
            for count in (thousandths * 95 - 1, thousandths * 95, thousandths * 95 + 1)
        ] == [False, True, True], thousandths


def test_reports_limit_counts_and_interval() -> None:
    found = one(checked(of_clean(12, 10_000), paired={"clean": pairs(10_000, broken=3, fixed=1)}), "fpr_baseline")
    assert (found.value, found.limit) == (0.0012, 0.0011)
    assert found.detail == (
        "0.12% (12 of 10,000; 95% CI 0.06–0.21%); fails if > 0.11%; 3 broken and 1 fixed compared with"
        " the baseline; not significant (p = 0.312)"
    )
    found = one(checked(empty_evaluation(latency=p95_latency(0.0041))), "latency_baseline", "p95")
    assert found.value == pytest.approx(0.0041 / 0.003)
    assert found.detail == (
        "4.10 ms is 1.367 × the recorded 3.00 ms; fails if > 1.2 ×; never significant, because latency drifts"
    )


def test_baseline_checks_are_not_measured_without_baseline() -> None:
    checks = checked(of_clean(12, 10_000), None)
    for name in ("fpr_baseline", "fpr_stability"):
        found = one(checks, name)
        assert (found.passed, found.significant, found.p_value) == (None, None, None)
        assert (found.conclusion, found.unavailable) == ("not measured", "no_baseline")
        assert found.detail == "0.12% (12 of 10,000); no baseline"
    assert one(checks, "latency_baseline", "p95").unavailable == "no_baseline"
    partial = checked(of_clean(12, 10_000), BaselineInUse("b", detections={"lsb": Fraction("0.9")}))
    assert one(partial, "fpr_baseline").unavailable == "not_in_baseline"
    evaluation = replace(of_clean(12, 10_000), role="baseline")
    own = one(run_checks(evaluation, basis_without_baseline(evaluation, None)), "fpr_baseline")
    assert own.detail == "0.12% (12 of 10,000); this model is the baseline"


def test_obstacle_makes_checks_against_the_baseline_not_comparable() -> None:
    obstacle = Unavailable("different_images", "other images")
    evaluation = replace(
        of_detections(900, 1000),
        clean=proportion(12, 10_000),
        clean_by_format={"png": proportion(12, 10_000)},
        latency=p95_latency(0.1),
    )
    checks = checked(evaluation, replace(BASELINE, obstacle=obstacle))
    for name, of in (
        ("fpr_baseline", ""),
        ("fpr_stability", ""),
        ("detection_baseline", "lsb"),
        ("latency_baseline", "p95"),
    ):
        found = one(checks, name, of)
        assert (found.conclusion, found.unavailable, found.severity) == ("not comparable", "different_images", None)
        assert found.detail.endswith("other images")
    # The format is compared with the default instead.
    assert one(checks, "format_consistency", "png").limit == 0.0012
    machine = Unavailable("different_machine", "another machine")
    checks = checked(evaluation, replace(BASELINE, latency_obstacle=machine))
    assert one(checks, "latency_baseline", "p95").conclusion == "not comparable"
    assert one(checks, "fpr_baseline").conclusion == "fail (not significant)"


def test_empty_evaluation_neither_passes_nor_fails() -> None:
    checks = checked(empty_evaluation())
    assert {entry.passed for entry in checks} == {None}
    assert {entry.severity for entry in checks} == {None}
    assert {entry.conclusion for entry in checks} == {"not measured"}
    # A format of the baseline has a result although the dataset has no such image.
    assert one(checks, "format_consistency", "png").detail == "no image of this slice was measured"
    assert one(checks, "latency_limit", "p95").detail == "too few timings for this quantile"


def test_runs_every_check_on_every_slice_in_order() -> None:
    evaluation = empty_evaluation(
        clean_by_format={"png": proportion(0, 1), "other": proportion(0, 1)},
        negatives={"patterns": proportion(0, 1), "special_cases": proportion(0, 0)},
    )
    checks = checked(evaluation)
    assert tuple(dict.fromkeys(entry.name for entry in checks)) == CHECK_NAMES
    assert len({(entry.name, entry.slice) for entry in checks}) == len(checks) == 3 + 15 + 2 + 2 + 2
    assert one(checks, "negatives", "special_cases").passed is None


@pytest.mark.parametrize("images", [458, 1_000, 5_000, 50_000])
def test_one_false_positive_more_than_the_baseline_is_never_significant(images: int) -> None:
    formats = {"png": proportion(1, images)}
    evaluation = empty_evaluation(clean=proportion(1, images), clean_by_format=formats)
    broken = pairs(images, broken=1)
    baseline = BaselineInUse("b", clean=Fraction(0), formats={"png": Fraction(0)})
    checks = checked(evaluation, baseline, {"clean": broken, "format:png": broken})
    failed = [found for found in checks if found.passed is False]
    assert {found.name for found in failed} >= {"fpr_baseline"}
    assert {found.severity for found in failed} == {"warning"}
    assert {found.conclusion for found in failed} == {"fail (not significant)"}


def test_failure_without_the_verdicts_of_the_baseline_is_not_significant() -> None:
    """0 false positives in the baseline do not mean that its true rate is exactly 0."""
    baseline = replace(BASELINE, clean=Fraction(0), formats={"png": Fraction(0)}, detections={"lsb": Fraction(1)})
    evaluation = replace(
        of_detections(90, 100),
        clean=proportion(10, 50_000),
        clean_by_format={"png": proportion(10, 50_000)},
    )
    limits = replace(DEFAULT_LIMITS, format_consistency=0.0001, fpr_stability=0.0001)
    checks = checked(evaluation, baseline, limits=limits)
    for name, of in (
        ("fpr_baseline", ""),
        ("fpr_stability", ""),
        ("detection_baseline", "lsb"),
        ("format_consistency", "png"),
    ):
        found = one(checks, name, of)
        assert (found.conclusion, found.severity, found.p_value) == ("fail (not significant)", "warning", None)
        assert found.detail.endswith("; not significant: the verdicts of the baseline are not available")
    passing = one(checked(of_clean(1, 50_000), baseline), "fpr_stability")
    assert passing.conclusion == "pass (inconclusive)"


def test_thirty_false_positives_more_than_the_baseline_are_significant() -> None:
    baseline = BaselineInUse("b", clean=Fraction(0))
    checks = checked(of_clean(30, 5_000), baseline, {"clean": pairs(5_000, broken=30)})
    found = one(checks, "fpr_baseline")
    assert found.conclusion == "fail (significant)"
    assert found.severity == "critical"
    # The p-value at the target is smaller, so that this one is adjusted by a factor of 1.
    assert found.p_value == 2.0**-30
    assert found.detail.endswith(
        "; 30 broken and 0 fixed compared with the baseline; worse than the baseline (p < 0.001)"
    )


@pytest.mark.parametrize(
    ("fixed", "broken", "significant"),
    # With one more hypothesis at the target, p ≤ 0.005: 2^-8 but not 2^-7, P(Bin(20, ½) ≥ 17) but not 16.
    [(0, 8, True), (0, 7, False), (8, 0, False), (4, 16, False), (3, 17, True), (0, 0, False)],
)
def test_significance_against_the_baseline_follows_the_paired_test(fixed: int, broken: int, significant: bool) -> None:
    evaluation = of_clean(20, 10_000)
    paired = {"clean": pairs(10_000, broken=broken, fixed=fixed)}
    checks = checked(evaluation, replace(BASELINE, formats={}), paired, CheckLimits(fpr_target=0.05))
    for name in ("fpr_baseline", "fpr_stability"):
        found = one(checks, name)
        assert found.passed is False
        assert found.significant is significant
        assert found.severity == ("critical" if significant else "warning")
        assert found.conclusive is significant


def test_checks_with_one_hypothesis_count_once() -> None:
    checks = checked(of_clean(30, 5_000), BASELINE, {"clean": pairs(5_000, broken=25)})
    assert one(checks, "fpr_baseline").p_value == one(checks, "fpr_stability").p_value == 2.0**-25


def test_p_values_are_adjusted_for_all_measured_checks() -> None:
    """The same broken images are significant alone, but not as one of many checks."""
    evaluation = of_clean(20, 10_000)
    paired = {"clean": pairs(10_000, broken=7)}
    limits = CheckLimits(fpr_target=0.05, disabled=frozenset({"fpr_target"}))
    assert one(checked(evaluation, BASELINE, paired, limits), "fpr_baseline").significant is True
    many = replace(evaluation, detections=dict.fromkeys(METHODS, proportion(100, 100)))
    paired |= {f"stego:{method}": pairs(100, broken=0) for method in METHODS}
    assert one(checked(many, BASELINE, paired, limits), "fpr_baseline").significant is False


@pytest.mark.parametrize(("count", "significant"), [(18, False), (10, True)])
def test_significance_at_a_constant_is_an_exact_binomial_test(count: int, significant: bool) -> None:
    found = one(checked(of_detections(count, 20), None), "detection_floor", "lsb")
    assert found.significant is significant
    assert found.severity == ("critical" if significant else "warning")
    assert ("; significant (p < 0.001)" in found.detail) is significant


def test_limit_above_one_does_not_change_other_p_values() -> None:
    """The limit of the format is 1.0002, which no rate exceeds."""
    evaluation = replace(of_format("bmp", 5, 10), negatives={"patterns": proportion(10, 10)})
    found = checked(evaluation, None, limits=replace(DEFAULT_LIMITS, format_default=1.0))
    assert one(found, "format_consistency", "bmp").p_value == 1.0
    assert one(found, "negatives", "patterns").conclusion == "fail (significant)"


def test_negatives_are_paired_with_the_baseline() -> None:
    """A category on which the baseline fails as well is a known weakness, not a regression."""
    evaluation = empty_evaluation(negatives={"patterns": proportion(60, 1000)})
    known = checked(evaluation, BASELINE, {"negative:patterns": pairs(1000, broken=0, both_wrong=60)})
    assert one(known, "negatives", "patterns").conclusion == "fail (not significant)"
    new = checked(evaluation, BASELINE, {"negative:patterns": pairs(1000, broken=60)})
    assert one(new, "negatives", "patterns").conclusion == "fail (significant)"
    assert one(checked(evaluation, None), "negatives", "patterns").conclusion == "fail (significant)"


def test_unknown_sample_size_is_never_significant() -> None:
    """Files that share covers, without their predictions: the effective sample size is unknown."""
    shared = replace(proportion(500, 1000), covers=10)
    found = one(checked(empty_evaluation(clean=shared), None), "fpr_target")
    assert (found.conclusion, found.p_value, found.severity) == ("fail (not significant)", None, "warning")
    assert found.detail.endswith("not significant: the effective sample size is unknown")


@pytest.mark.parametrize(
    ("false_positives", "images", "conclusion"),
    [
        (0, 1_000, "pass (inconclusive)"),
        (0, 7_375, "pass (inconclusive)"),
        (0, 7_376, "pass"),
        (1, 1_000, "fail (not significant)"),
        (10, 1_000, "fail (significant)"),
    ],
)
def test_target_is_inconclusive_until_the_interval_is_below_it(
    false_positives: int, images: int, conclusion: str
) -> None:
    assert one(checked(of_clean(false_positives, images), None), "fpr_target").conclusion == conclusion


@pytest.mark.parametrize(
    ("broken", "fixed", "both_wrong", "files", "conclusive"),
    [
        (0, 0, 0, 10_000, False),
        (0, 0, 0, 40_000, True),
        (2, 0, 0, 40_000, True),
        (4, 0, 0, 40_000, False),
        (4, 9, 0, 40_000, True),
    ],
)
def test_pass_against_the_baseline_is_conclusive_by_the_paired_limit(
    broken: int, fixed: int, both_wrong: int, files: int, conclusive: bool
) -> None:
    evaluation = of_clean(broken, files)
    baseline = BaselineInUse("b", clean=Fraction(0))
    paired = {"clean": pairs(files, broken=broken, fixed=fixed, both_wrong=both_wrong)}
    assert one(checked(evaluation, baseline, paired), "fpr_stability").conclusive is conclusive


def test_identical_model_passes_conclusively() -> None:
    evaluation = replace(of_detections(100, 100), clean=proportion(0, 100))
    baseline = BaselineInUse("b", Fraction(0), {}, dict.fromkeys(METHODS, Fraction(1)), same_verdicts=True)
    checks = checked(evaluation, baseline, {"clean": pairs(100, broken=0)})
    for name, of in (("fpr_baseline", ""), ("fpr_stability", ""), ("detection_baseline", "lsb")):
        assert one(checks, name, of).conclusion == "pass"
    assert one(checks, "fpr_target").conclusion == "pass (inconclusive)"


def test_disabled_checks_do_not_run_and_informational_ones_do_not_alert() -> None:
    evaluation = replace(of_detections(10, 100), clean=proportion(50, 100))
    limits = CheckLimits(disabled=frozenset({"fpr_target"}), informational=frozenset({"detection_floor"}))
    checks = checked(evaluation, None, None, limits)
    assert "fpr_target" not in {found.name for found in checks}
    found = one(checks, "detection_floor", "lsb")
    assert (found.conclusion, found.severity) == ("fail (significant)", "info")
    assert one(checks, "detection_target", "lsb").severity == "critical"
    assert DEFAULT_LIMITS.informational == {"detection_target"}


@pytest.mark.parametrize(
    ("name", "of", "changed"),
    [
        ("fpr_baseline", "", {"fpr_baseline": 600.0}),
        ("fpr_stability", "", {"fpr_stability": 0.9}),
        ("fpr_target", "", {"fpr_target": 0.9}),
        ("detection_baseline", "lsb", {"detection_baseline": 0.1}),
        ("detection_floor", "lsb", {"detection_floor": 0.1}),
        ("detection_target", "lsb", {"detection_target": 0.1}),
        ("latency_baseline", "p95", {"latency_baseline": 100.0}),
        ("latency_limit", "p95", {"latency_limit": 10.0}),
        ("format_consistency", "png", {"format_consistency": 0.9}),
        ("format_consistency", "gif", {"format_default": 0.9}),
        ("negatives", "patterns", {"negatives": 0.9}),
    ],
)
def test_every_limit_decides_its_check(name: CheckName, of: str, changed: dict[str, float]) -> None:
    bad = proportion(50, 100)
    evaluation = replace(
        of_detections(50, 100),
        clean=bad,
        clean_by_format={"png": bad, "gif": bad},
        negatives={"patterns": bad},
        latency=p95_latency(0.02),
    )
    assert one(checked(evaluation), name, of).passed is False
    assert one(checked(evaluation, BASELINE, None, CheckLimits(**changed)), name, of).passed is True  # type: ignore[arg-type]


def test_regressions_are_failed_baseline_checks() -> None:
    evaluation = empty_evaluation(
        clean=proportion(12, 10_000),
        detections=dict.fromkeys(METHODS, proportion(94, 100)),
        latency=p95_latency(0.0037),
    )
    found = baseline_regressions(checked(evaluation))
    assert [(entry.name, entry.slice) for entry in found] == [("fpr_baseline", ""), ("latency_baseline", "p95")]
    assert baseline_regressions(checked(evaluation, None)) == ()


def test_results_of_0_1_0_have_a_conclusion() -> None:
    """They state neither whether a pass is conclusive nor why a check has no result."""
    assert CheckResult("fpr_target", "", 0.0, 1.0, True, False, "").conclusion == "pass"
    assert CheckResult("fpr_target", "", None, 1.0, None, None, "").conclusion == "not measured"
    assert CheckResult("fpr_target", "", 1.0, 0.5, False, True, "").conclusion == "fail (significant)"


def test_significance_level_is_one_percent() -> None:
    assert SIGNIFICANCE_LEVEL == 0.01
