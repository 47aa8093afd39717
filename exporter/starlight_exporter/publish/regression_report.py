"""Reports of the regression suite: JSON, and JUnit XML for CI systems."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Final

from starlight_exporter.checks.suite import SuiteTest, missing_images
from starlight_exporter.evaluation.results import Evaluation
from starlight_exporter.formatting import iso

_NOT_XML: Final = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 cannot contain. They may occur in the names of categories and datasets."""


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
    """Return a JUnit report: a failed check is a failure, a check without a result is an error.

    A failed informational check is skipped, because it does not fail its test.
    """
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
                name="all" if check is None else f"{check.name} {check.slice}".rstrip(),
            )
            if check is None or check.passed is None:
                errors += 1
                text = check.detail if check is not None else "the dataset has no slice of this test"
                reason = "not measured" if check is None else check.conclusion
                ET.SubElement(case, "error", type=reason, message=text)
            elif not check.passed and check.severity == "info":
                ET.SubElement(case, "skipped", message=f"informational: {check.detail}")
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
    text = _NOT_XML.sub(lambda found: ascii(found[0])[1:-1], ET.tostring(root, encoding="unicode"))
    return f'<?xml version="1.0" encoding="UTF-8"?>\n{text}\n'
