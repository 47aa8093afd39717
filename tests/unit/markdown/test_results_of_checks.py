"""Results, limits and baselines of the document are those of the exporter's checks."""

from __future__ import annotations

from dataclasses import replace

import pytest

from starlight_exporter.checks.checks import run_checks
from starlight_exporter.checks.comparison_basis import CheckBasis
from starlight_exporter.checks.limits import CheckLimits
from starlight_exporter.checks.results import CheckResult, Unavailable
from starlight_exporter.evaluation.results import Evaluation
from starlight_exporter.markdown.content import Content, evaluation_content
from starlight_exporter.markdown.dashboard import build_dashboard
from starlight_exporter.markdown.document import render_document
from starlight_exporter.markdown.samples import samples_of
from starlight_exporter.publish.snapshot import DatasetState, snapshot_of
from starlight_exporter.statistics.intervals import proportion
from support.snapshots import BASELINE, FINISHED_AT, basis_of, full_evaluation

RESULT = full_evaluation()
PASS = CheckResult("fpr_target", "", 0.0001, 0.0007, True, False, "", conclusive=True, p_value=0.5)
NO_RESULT = replace(PASS, passed=None, significant=None, conclusive=None, p_value=None)


def text_of(checks: tuple[CheckResult, ...], *, result: Evaluation = RESULT, basis: CheckBasis | None = None) -> str:
    return rendered(evaluation_content(result, checks, basis))


def rendered(content: Content) -> str:
    return render_document(content, stem="dashboard", now=FINISHED_AT).text


def row(text: str, metric: str) -> list[str]:
    (line,) = (line for line in text.splitlines() if line.startswith(f"| {metric} |"))
    return [cell.strip() for cell in line.strip("|").split("|")]


@pytest.mark.parametrize(
    ("check", "expected"),
    [
        (PASS, "🟢 pass"),
        (replace(PASS, conclusive=False), "🟢 pass (inconclusive)"),
        (replace(PASS, passed=False, conclusive=False), "🟡 fail (not significant): FPR target"),
        (
            replace(PASS, passed=False, significant=True, p_value=0.002),
            "🔴 fail (significant): FPR target (p = 0.002)",
        ),
        (replace(NO_RESULT, unavailable="no_images"), "⚪ not measured: no images"),
        (replace(NO_RESULT, unavailable="different_rule"), "⚪ not comparable: different rule"),
    ],
)
def test_each_conclusion_of_a_check(check: CheckResult, expected: str) -> None:
    cells = row(text_of((check,)), "False positive rate, clean images")
    assert cells[-2:] == ["< 0.07%", expected]


def test_result_does_not_depend_on_bounds_in_the_document() -> None:
    """The bounds of the fixture include 0.5%, and the check of the exporter is conclusive."""
    negatives = CheckResult("negatives", "patterns", 0.004, 0.005, True, False, "", conclusive=True)
    cells = row(text_of((negatives,)), "False positive rate, negative patterns")
    assert cells[2] == "0.20–1.60%"
    assert cells[-1] == "🟢 pass"


def test_worst_result_of_several_checks_is_shown() -> None:
    worse = replace(PASS, name="fpr_baseline", passed=False, significant=True, p_value=1e-9)
    cells = row(text_of((worse, replace(PASS, conclusive=False))), "False positive rate, clean images")
    assert cells[-1] == "🔴 fail (significant): FPR baseline (p \\< 0.001)"
    missing = replace(NO_RESULT, name="fpr_baseline", unavailable="different_images")
    assert row(text_of((missing, PASS)), "False positive rate, clean images")[-1] == "🟢 pass"


def test_significance_against_the_baseline_is_worded_so() -> None:
    worse = replace(PASS, name="fpr_baseline", passed=False, significant=True, p_value=0.004, paired=True)
    cells = row(text_of((worse,)), "False positive rate, clean images")
    assert cells[-1] == "🔴 fail (significant): FPR baseline (worse than the baseline, p = 0.004)"


def test_informational_check_is_not_red_and_not_the_worst() -> None:
    target = CheckResult("detection_target", "lsb", 0.97, 0.99, False, True, "", "info", True, 1e-4)
    floor = replace(target, name="detection_floor", passed=True, significant=False, severity=None)
    text = text_of((target, floor))
    assert row(text, "Detection rate, lsb")[-1] == (
        "🔵 fail (significant): detection target (informational, p \\< 0.001)"
    )
    assert "| 🟢 healthy: 1 passed, 1 failed (1 significant) |" in text
    below_floor = replace(floor, passed=False, severity="warning", conclusive=False)
    assert (
        row(text_of((target, below_floor)), "Detection rate, lsb")[-1] == "🟡 fail (not significant): detection floor"
    )


def test_value_without_a_check_has_neither_limit_nor_result() -> None:
    text = text_of(())
    assert row(text, "False positive rate, clean images")[-3:] == ["", "", ""]
    assert row(text, "p95")[-3:] == ["", "", ""]
    assert "checks not measured" in text


def test_limits_are_those_in_use() -> None:
    limits = CheckLimits(
        fpr_target=0.0123, detection_target=0.9012, latency_limit=0.0321, latency_baseline=1.43, negatives=0.0456
    )
    basis = basis_of(RESULT)
    text = text_of(run_checks(RESULT, basis, limits), basis=basis)
    assert row(text, "False positive rate, clean images")[-2] == "< 1.23%"
    assert row(text, "False positive rate, negative patterns")[-2] == "< 4.56%"
    assert row(text, "Detection rate, lsb")[-2] == "> 90.12%"
    assert row(text, "p95")[-2] == "< 32.10 ms"
    assert row(text, "p95 relative to the baseline")[-2] == "≤ 1.43 ×"


def test_values_of_the_baseline_are_in_their_column() -> None:
    text = text_of((), basis=basis_of(RESULT))
    assert row(text, "False positive rate, clean images")[-3] == "0.32%"
    assert row(text, "False positive rate, clean png")[-3] == "0.50%"
    assert row(text, "Detection rate, lsb")[-3] == "98.00%"
    assert [row(text, name)[-3] for name in ("p50", "p95", "p99")] == ["2.10 ms", "3.40 ms", "4.40 ms"]


def test_baseline_that_is_not_comparable_is_named_with_its_reason() -> None:
    other = replace(BASELINE, obstacle=Unavailable("different_images", "other images"))
    basis = replace(basis_of(RESULT), baseline=other)
    text = text_of(run_checks(RESULT, basis), basis=basis)
    assert (
        "not comparable (different images): FPR baseline, FPR stability, detection baseline alpha/eoi/exif/lsb/palette."
        in text
    )
    assert row(text, "False positive rate, clean images")[-3] == ""


def test_recorded_latency_of_the_baseline_gives_the_ratio() -> None:
    result = replace(RESULT, latency_ratio=None)
    basis = basis_of(result)
    recorded = row(text_of(run_checks(result, basis), result=result, basis=basis), "p95 relative to the baseline")
    assert recorded[1:3] == ["1.00 ×", "–"]
    assert recorded[-1] == "🟢 pass (inconclusive)"
    elsewhere = replace(BASELINE, latency_obstacle=Unavailable("different_machine", "another machine"))
    basis = replace(basis, baseline=elsewhere)
    other = row(text_of(run_checks(result, basis), result=result, basis=basis), "p95 relative to the baseline")
    assert [other[1], other[-1]] == ["–", "⚪ not comparable: different machine"]


def test_images_that_share_covers_are_counted_with_their_covers() -> None:
    shared = replace(RESULT.clean, covers=700)
    text = text_of((), result=replace(RESULT, clean=shared))
    assert row(text, "False positive rate, clean images")[3] == "3 of 4,000 from 700 covers"
    assert row(text, "False positive rate, clean png")[3] == "3 of 2,000"


def test_inconclusive_targets_are_in_one_sentence() -> None:
    result = replace(
        RESULT,
        clean=proportion(0, 1_000),
        clean_by_format={},
        negatives={},
        detections={"lsb": proportion(160, 160), "eoi": proportion(160, 160)},
    )
    basis = CheckBasis({})
    text = text_of(run_checks(result, basis), result=result, basis=basis)
    (sentence,) = (line for line in text.splitlines() if line.startswith("Inconclusive: "))
    assert sentence == (
        "Inconclusive: 3 of 3 passed targets; their 95% CI includes the target. Images needed for a conclusion (one per"
        " cover, 80% power at the measured rate): 368 (lsb, eoi); 7,376 (clean images)."
    )
    assert text.count("7,376") == 1
    assert "Inconclusive" not in text_of((PASS,))


def test_busy_machine_is_stated() -> None:
    assert RESULT.latency_ratio is not None
    busy = replace(RESULT, latency_ratio=replace(RESULT.latency_ratio, contention=0.34))
    basis = basis_of(busy)
    text = text_of(run_checks(busy, basis), result=busy, basis=basis)
    assert "the timed thread waited for 34.00% of the wall time" in text
    assert row(text, "p95")[-1] == "⚪ not measured: machine busy"
    assert "machine was busy" not in text_of(())


@pytest.mark.parametrize(
    ("checks", "expected"),
    [
        ((PASS,), "🟢 healthy: 1 passed"),
        ((PASS, replace(PASS, name="negatives", conclusive=False)), "🟢 healthy: 2 passed (1 inconclusive)"),
        ((replace(PASS, passed=False),), "🟡 0 passed, 1 failed"),
        ((replace(PASS, passed=False, significant=True),), "🟡 0 passed, 1 failed (1 significant)"),
    ],
)
def test_status_counts_the_conclusions(checks: tuple[CheckResult, ...], expected: str) -> None:
    assert f"| {expected} |" in text_of(checks)


def test_dataset_without_alerts_has_no_colour() -> None:
    snapshot = snapshot_of(RESULT, (replace(PASS, passed=False, significant=True),), None)
    silent = snapshot.with_dataset(DatasetState("reference", alerts=False))
    dashboard = build_dashboard(samples_of(silent), now=FINISHED_AT)
    text = rendered(replace(evaluation_content(RESULT, ()), dashboard=dashboard))
    assert "| ⚪ checks on this dataset do not alert: 0 passed, 1 failed (1 significant) |" in text
    assert "🔴" not in text
