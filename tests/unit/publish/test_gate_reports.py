"""Reports of the gate: JUnit XML as a JUnit library reads it, the markdown summary, the HTML page."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import junitparser
import numpy as np
import pytest

from starlight_exporter.checks.limits import CHECK_NAMES
from starlight_exporter.checks.results import CheckResult
from starlight_exporter.checks.suite import run_suite
from starlight_exporter.publish.gate.html import SHOWN, html_page, shown_images
from starlight_exporter.publish.gate.junit import junit_xml
from starlight_exporter.publish.gate.markdown import markdown_summary
from starlight_exporter.publish.gate.report import GateReport, distinct, wrong_images
from support.gate import gate_report
from support.images import image_bytes
from support.snapshots import example_prediction, full_evaluation

COMPLETE = replace(full_evaluation(), not_measured=dict.fromkeys(full_evaluation().not_measured, 0))
SLICES = {
    "format_consistency": "png",
    "negatives": "patterns",
    "detection_floor": "alpha",
    "detection_baseline": "alpha",
}
PASSED = tuple(
    CheckResult(name, SLICES.get(name, ""), 0.004, 0.01, True, False, "fine", conclusive=True) for name in CHECK_NAMES
)
FAILED = {
    "fpr_baseline": "critical",
    "format_consistency": "warning",
    "latency_limit": "warning",
}
PREDICTIONS = [
    example_prediction("clean/false alarm.png", verdict=True),
    example_prediction("clean/right.png"),
    example_prediction("clean/<b>|`odd`.png", verdict=True),
    example_prediction("stego/missed.png", verdict=False, stego=True),
    example_prediction("clean/damaged.png", verdict=None),
]


def failed_report(**changes: Any) -> GateReport:
    """Return a report in which checks of clean images fail and `negatives` has no result."""
    checks = [
        replace(one, passed=False, severity=FAILED[one.name], detail=f"{one.name} <is> too | high")  # type: ignore[arg-type]
        if one.name in FAILED
        else one
        for one in PASSED
    ]
    missing = [replace(one, passed=None, unavailable="no_images") if one.name == "negatives" else one for one in checks]
    return gate_report(full_evaluation(), run_suite(missing), PREDICTIONS, **changes)


def parsed(report: GateReport, tmp_path: Path) -> junitparser.JUnitXml:
    file = tmp_path / "junit.xml"
    file.write_text(junit_xml(report), encoding="utf-8")
    found = junitparser.JUnitXml.fromfile(str(file))
    assert isinstance(found, junitparser.JUnitXml)
    return found


def cases(report: GateReport, tmp_path: Path) -> dict[str, junitparser.TestCase]:
    return {case.name: case for suite in parsed(report, tmp_path) for case in suite}


def outcome(case: junitparser.TestCase) -> list[str]:
    return [type(result).__name__ for result in case.result]


def properties(element: junitparser.TestCase | junitparser.TestSuite) -> dict[str, str]:
    (found,) = element.iterchildren(junitparser.Properties)
    return {str(one.name): str(one.value) for one in found}


def test_junit_separates_failures_from_errors(tmp_path: Path) -> None:
    found = cases(failed_report(), tmp_path)
    assert outcome(found["fpr_baseline"]) == ["Failure"]
    assert outcome(found["negatives patterns"]) == ["Error"]
    assert outcome(found["fpr_stability"]) == []
    assert outcome(found["model"]) == ["Error"]
    assert found["fpr_baseline"].result[0].type == "critical"
    assert found["fpr_stability"].system_out == "pass: fine"


def test_junit_totals_are_those_of_its_cases(tmp_path: Path) -> None:
    read = parsed(failed_report(), tmp_path)
    stated = (read.tests, read.failures, read.errors)
    assert read.time == 12.5
    read.update_statistics()
    assert stated == (read.tests, read.failures, read.errors) == (9, 3, 2)


def test_junit_evaluations_have_durations_and_checks_have_none(tmp_path: Path) -> None:
    baseline = replace(COMPLETE, model="baseline", duration_seconds=7.25)
    found = cases(gate_report(COMPLETE, run_suite(PASSED), baseline_evaluation=baseline), tmp_path)
    assert found["model"].time == pytest.approx(COMPLETE.duration_seconds, abs=0.001)
    assert found["baseline"].time == 7.25
    assert found["fpr_baseline"].time is None


def test_junit_has_properties_of_the_run_and_of_each_check(tmp_path: Path) -> None:
    report = failed_report()
    (suite,) = (one for one in parsed(report, tmp_path) if one.name == "evaluations")
    found = properties(suite)
    assert found["result"] == report.result
    assert found["exit_code"] == "1"
    assert found["dataset_fingerprint"] == report.evaluation.provenance.dataset_fingerprint
    assert "baseline_sha256" not in found
    check = properties(cases(report, tmp_path)["fpr_baseline"])
    assert check["limit"] == "0.01"
    assert check["total"] == str(report.evaluation.clean.total)
    assert "p_value" not in check


def test_junit_failure_lists_misclassified_images(tmp_path: Path) -> None:
    text = cases(failed_report(), tmp_path)["fpr_baseline"].result[0].text
    assert "* clean/false alarm.png" in text
    assert "right.png" not in text


def test_junit_of_an_informational_check_is_skipped(tmp_path: Path) -> None:
    checks = [replace(c, passed=False, severity="info") if c.name == "fpr_stability" else c for c in PASSED]
    found = cases(gate_report(COMPLETE, run_suite(checks)), tmp_path)
    assert outcome(found["fpr_stability"]) == ["Skipped"]


def test_junit_test_cases_have_different_names(tmp_path: Path) -> None:
    read = parsed(gate_report(COMPLETE, run_suite(PASSED)), tmp_path)
    names = [(case.classname, case.name) for suite in read for case in suite]
    assert len(set(names)) == len(names)


def test_junit_is_well_formed_with_every_category_name(tmp_path: Path) -> None:
    names = ("a\x0bb", "\x01", "quotes \"'", "<tag>&", "\uffff", "\U0001f600")
    checks = (*PASSED, *(replace(PASSED[-1], slice=name) for name in names))
    found = cases(gate_report(COMPLETE, run_suite(checks)), tmp_path)
    for shown in ("a b", "\\x01", "quotes \"'", "<tag>&", "\\uffff", "\U0001f600"):
        assert f"negatives {shown}" in found


def test_images_of_formats_are_listed_once() -> None:
    report = failed_report()
    assert [group.slice for group in report.wrong] == ["clean", "format:png"]
    (group,) = distinct(report.wrong)
    assert [check.name for check in group.checks] == ["fpr_baseline", "format_consistency"]


def test_broken_images_come_first() -> None:
    old = example_prediction("clean/old.png", verdict=True)
    new = example_prediction("clean/new.png", verdict=True)
    tests = failed_report().tests
    (clean, _) = wrong_images([old, new], tests, np.array([1, 0], np.int8))
    assert [(one.prediction.path, one.broken) for one in clean.images] == [
        ("clean/new.png", True),
        ("clean/old.png", False),
    ]


def test_markdown_has_result_first_and_escapes_names() -> None:
    report = failed_report()
    text = markdown_summary(report)
    assert text.startswith("## FAILED 3 of 8: fpr\\_baseline ")
    assert "fpr\\_baseline &lt;is&gt; too \\| high" in text
    assert "`clean/<b>¦’odd’.png` (broken)" in text
    assert "Misclassified clean images: 2" in text
    rows = [line for line in text.splitlines() if line.startswith("| ")]
    assert {len(re.findall(r"(?<!\\)\|", row)) for row in rows} == {5}
    assert text.endswith("\n\n")


def test_page_requests_nothing_and_shows_the_misclassified_images() -> None:
    report = failed_report()
    png = image_bytes(1)
    page = html_page(report, {"clean/false alarm.png": png})
    assert page.count('<img src="data:image/png;base64,') == 1
    assert page.count("no thumbnail") == 1
    assert "clean/&lt;b&gt;|`odd`.png" in page
    assert "clean/right.png" not in page
    assert "clean/damaged.png" in page
    assert "default-src 'none'" in page
    addresses = re.findall(r"""(?:src|href|action)=["']?([^"'\s>]+)|url\(|@import""", page)
    assert all(address.startswith("data:") for address in addresses)
    assert f"<title>{report.result.partition(':')[0]}" in page


def test_page_shows_a_bounded_number_of_images_of_every_slice() -> None:
    many = [example_prediction(f"clean/{number:04}.png", verdict=True) for number in range(3 * SHOWN)]
    missed = [example_prediction(f"stego/{number}.png", verdict=False, stego=True) for number in range(5)]
    checks = [
        replace(one, passed=False, severity="warning") if one.name in ("fpr_baseline", "detection_floor") else one
        for one in PASSED
    ]
    report = gate_report(COMPLETE, run_suite(checks), [*many, *missed])
    assert [len(group.images) for group in shown_images(report)] == [SHOWN - 5, 5]
    page = html_page(report, {})
    assert f"clean images: {3 * SHOWN}, {SHOWN - 5} shown" in page


def test_page_of_a_pass_has_no_images() -> None:
    page = html_page(gate_report(COMPLETE, run_suite(PASSED)), {})
    assert '<h1 class="good">PASSED 8 of 8</h1>' in page
    assert "Misclassified" not in page
