"""Reports of the regression suite: JSON, and JUnit XML for CI systems."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime

from starlight_exporter.checks.suite import SuiteTest, missing_images
from starlight_exporter.evaluation.results import Evaluation
from starlight_exporter.formatting import iso


def report_json(evaluation: Evaluation, tests: Sequence[SuiteTest], baseline: str, code: int) -> str:
    """Return the model, dataset and provenance, and every check with its value, limit and severity."""
    content = {
        "tested_at": iso(evaluation.finished_at),
        "model": evaluation.model,
        "dataset": evaluation.dataset,
        "baseline": baseline,
        "exit_code": code,
        "provenance": asdict(evaluation.provenance),
        "not_measured": evaluation.not_measured,
        "tests": [
            {**asdict(test), "checks": [{**asdict(one), "conclusion": one.conclusion} for one in test.checks]}
            for test in tests
        ],
    }
    return json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def report_name(evaluation: Evaluation) -> str:
    """Return the file name of a report, which sorts by the UTC time of the evaluation."""
    return f"regression_{datetime.fromtimestamp(evaluation.finished_at, UTC):%Y%m%dT%H%M%SZ}.json"


def junit_xml(evaluation: Evaluation, tests: Sequence[SuiteTest]) -> str:
    """Return a JUnit report: a failed check is a failure, a check that was not measured is an error."""
    root = ET.Element("testsuites", name="starlight regression")
    for test in tests:
        cases = test.checks or (None,)
        suite = ET.SubElement(root, "testsuite", name=test.name, tests=str(len(cases)))
        failures = errors = 0
        for check in cases:
            case = ET.SubElement(
                suite,
                "testcase",
                classname=f"{evaluation.model}.{evaluation.dataset}.{test.name}",
                name=(check.slice if check is not None else "") or "all",
            )
            if check is None or check.passed is None:
                errors += 1
                text = check.detail if check is not None else "the dataset has no slice of this test"
                ET.SubElement(case, "error", type="not measured", message=text)
            elif not check.passed:
                failures += 1
                ET.SubElement(case, "failure", type=check.severity or "warning", message=check.detail)
        suite.set("failures", str(failures))
        suite.set("errors", str(errors))
    if missing := missing_images(evaluation):
        suite = ET.SubElement(root, "testsuite", name="images", tests="1", failures="0", errors="1")
        case = ET.SubElement(suite, "testcase", classname=f"{evaluation.model}.{evaluation.dataset}.images", name="all")
        ET.SubElement(case, "error", type="not measured", message=missing)
    ET.indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(root, encoding="unicode") + "\n"
