"""JUnit XML of one run of the gate, for CI systems.

A failed check is a failure, a check without a result an error, a failed informational check is skipped. The suite
`evaluations` has one case per evaluated model with its duration; the checks are computed from them and have no time.
"""

from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

import starlight_exporter
from starlight_exporter.checks.results import CheckResult
from starlight_exporter.checks.suite import SuiteTest, missing_images
from starlight_exporter.checks.suite_result import check_title, checked_rate, slice_key
from starlight_exporter.evaluation.results import Evaluation
from starlight_exporter.formatting import iso
from starlight_exporter.publish.gate.report import GateReport, WrongImages

LISTED: Final = 20
"""Misclassified images that the text of a failure names; the others are counted."""

_NOT_XML: Final = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 cannot contain. They may occur in the names of categories and datasets."""


def junit_xml(report: GateReport) -> str:
    """Return the report as JUnit XML with times in seconds, and properties of the run and of each check."""
    root = ET.Element("testsuites", name="starlight gate", time=_seconds(report.seconds))
    _evaluations(root, report)
    for test in report.tests:
        _suite(root, report, test)
    suites = list(root)
    # The common schema has no attribute `skipped` here.
    for name in ("tests", "failures", "errors"):
        root.set(name, str(sum(int(suite.get(name, "0")) for suite in suites)))
    ET.indent(root)
    text = _NOT_XML.sub(lambda found: ascii(found[0])[1:-1], ET.tostring(root, encoding="unicode"))
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n'


def _evaluations(root: ET.Element, report: GateReport) -> None:
    evaluation, baseline = report.evaluation, report.baseline_evaluation
    suite = _new_suite(root, report, "evaluations")
    _properties(suite, _run_properties(report))
    case = _case(suite, report, "model", evaluation.duration_seconds)
    if missing := missing_images(evaluation):
        ET.SubElement(case, "error", type="not measured", message=missing)
    if baseline is not None:
        _case(suite, report, "baseline", baseline.duration_seconds)
    _count(suite)
    suite.set("time", _seconds(sum(float(one.get("time", "0")) for one in suite.iter("testcase"))))


def _suite(root: ET.Element, report: GateReport, test: SuiteTest) -> None:
    suite = _new_suite(root, report, test.name)
    if not test.checks:
        case = _case(suite, report, "all")
        ET.SubElement(case, "error", type="not measured", message="the dataset has no slice of this test")
    wrong = {one.slice: one for one in report.wrong}
    for check in test.checks:
        case = _case(suite, report, check_title(check))
        _properties(case, _check_properties(report.evaluation, check))
        if check.passed is None:
            ET.SubElement(case, "error", type=check.conclusion, message=check.detail)
        elif not check.passed and check.severity == "info":
            ET.SubElement(case, "skipped", message=f"informational: {check.detail}")
        elif not check.passed:
            failure = ET.SubElement(case, "failure", type=check.severity or "warning", message=check.detail)
            failure.text = "\n".join(_failure_lines(check, wrong.get(slice_key(check) or "")))
        else:
            ET.SubElement(case, "system-out").text = f"{check.conclusion}: {check.detail}"
    _count(suite)


def _failure_lines(check: CheckResult, wrong: WrongImages | None) -> Iterator[str]:
    yield check.detail
    if wrong is None:
        return
    yield "misclassified images (* = the baseline is right):"
    for image in wrong.images[:LISTED]:
        yield f"{'*' if image.broken else ' '} {image.prediction.path}"
    if len(wrong.images) > LISTED:
        yield f"  {len(wrong.images) - LISTED} more"


def _run_properties(report: GateReport) -> Mapping[str, object]:
    evaluation, baseline = report.evaluation, report.baseline_evaluation
    provenance = evaluation.provenance
    return {
        "result": report.result,
        "exit_code": report.code,
        "model": evaluation.model,
        "model_sha256": provenance.model_sha256,
        "decision": provenance.decision,
        "dataset": evaluation.dataset,
        "dataset_fingerprint": provenance.dataset_fingerprint,
        "images": evaluation.images,
        "baseline": report.baseline,
        "baseline_sha256": None if baseline is None else baseline.provenance.model_sha256,
        "baseline_decision": None if baseline is None else baseline.provenance.decision,
        "seed": provenance.seed,
        "exporter_version": starlight_exporter.__version__,
        "onnxruntime_version": provenance.onnxruntime_version,
        "execution_provider": provenance.execution_provider,
    }


def _check_properties(evaluation: Evaluation, check: CheckResult) -> Mapping[str, object]:
    rate = checked_rate(evaluation, check)
    return {
        "conclusion": check.conclusion,
        "value": check.value,
        "limit": check.limit,
        "count": None if rate is None else rate.count,
        "total": None if rate is None else rate.total,
        "p_value": check.p_value,
        "unavailable": check.unavailable,
    }


def _new_suite(root: ET.Element, report: GateReport, name: str) -> ET.Element:
    return ET.SubElement(root, "testsuite", name=name, timestamp=iso(report.evaluation.started_at))


def _case(suite: ET.Element, report: GateReport, name: str, seconds: float | None = None) -> ET.Element:
    prefix = f"{report.evaluation.model}.{report.evaluation.dataset}"
    case = ET.SubElement(suite, "testcase", classname=f"{prefix}.{suite.get('name')}", name=name)
    if seconds is not None:
        case.set("time", _seconds(seconds))
    return case


def _properties(parent: ET.Element, values: Mapping[str, object]) -> None:
    element = ET.SubElement(parent, "properties")
    for name, value in _known(values.items()):
        ET.SubElement(element, "property", name=name, value=str(value))


def _known(items: Iterable[tuple[str, object]]) -> Iterator[tuple[str, object]]:
    """Yield the properties that have a value: what was not measured has none."""
    return ((name, value) for name, value in items if value not in (None, ""))


def _count(suite: ET.Element) -> None:
    suite.set("tests", str(len(suite.findall("testcase"))))
    for name, tag in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        suite.set(name, str(len(suite.findall(f"testcase/{tag}"))))


def _seconds(value: float) -> str:
    return f"{value:.3f}"
