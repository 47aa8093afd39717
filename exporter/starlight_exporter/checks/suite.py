"""The regression suite: the gate before a deployment. Five tests over the checks of `regression.py`.

What could not be measured is no pass: an empty slice, no baseline to hold, too few timings, an image without a verdict.
"""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Final, Literal

from starlight_exporter.checks.regression import Check, CheckName
from starlight_exporter.evaluation.results import Evaluation

TestName = Literal["fpr_stability", "detection_rates", "inference_speed", "format_consistency", "negatives_resistance"]
Outcome = Literal["passed", "failed", "not measured"]

SUITE: Final[Mapping[TestName, CheckName]] = MappingProxyType(
    {
        "fpr_stability": "fpr_stability",
        "detection_rates": "detection_floor",
        "inference_speed": "latency_limit",
        "format_consistency": "format_consistency",
        "negatives_resistance": "negatives",
    }
)
"""Test of the suite → the check whose slices it consists of."""


@dataclass(frozen=True, slots=True)
class SuiteTest:
    """One test: failed if any slice fails, else not measured if any slice (or every one) was not, else passed."""

    name: TestName
    outcome: Outcome
    checks: tuple[Check, ...]


def run_suite(checks: Sequence[Check]) -> tuple[SuiteTest, ...]:
    """The five tests over the checks of one evaluation."""
    return tuple(_test(name, tuple(c for c in checks if c.name == check)) for name, check in SUITE.items())


def exit_code(evaluation: Evaluation, tests: Sequence[SuiteTest]) -> int:
    """0: all passed; 1: a regression; 2: no regression seen, but a slice or an image could not be measured."""
    outcomes = {test.outcome for test in tests}
    if "failed" in outcomes:
        return 1
    return 2 if "not measured" in outcomes or missing_images(evaluation) else 0


def missing_images(evaluation: Evaluation) -> str:
    """Images in no ratio, so that no test can tell what the model says of them; empty if there are none."""
    missing = {reason: count for reason, count in evaluation.not_measured.items() if count}
    told = ", ".join(f"{count} {reason.replace('_', ' ')}" for reason, count in missing.items())
    return f"{sum(missing.values())} of {evaluation.images} images were not measured: {told}" if missing else ""


def report_json(evaluation: Evaluation, tests: Sequence[SuiteTest], baseline: str) -> str:
    """What was tested on what, and every check with its value, limit and severity."""
    content = {
        "tested_at": f"{datetime.fromtimestamp(evaluation.finished_at, UTC):%Y-%m-%dT%H:%M:%SZ}",
        "model": evaluation.model,
        "dataset": evaluation.dataset,
        "baseline": baseline,
        "exit_code": exit_code(evaluation, tests),
        "provenance": asdict(evaluation.provenance),
        "not_measured": evaluation.not_measured,
        "tests": [asdict(test) for test in tests],
    }
    return json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def report_name(evaluation: Evaluation) -> str:
    """The file name of a report: the UTC time of the evaluation, sortable."""
    return f"regression_{datetime.fromtimestamp(evaluation.finished_at, UTC):%Y%m%dT%H%M%SZ}.json"


def junit_xml(evaluation: Evaluation, tests: Sequence[SuiteTest]) -> str:
    """The same for CI systems: a regression is a failure, something not measured is an error."""
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


def _test(name: TestName, checks: tuple[Check, ...]) -> SuiteTest:
    if any(check.passed is False for check in checks):
        return SuiteTest(name, "failed", checks)
    if not checks or any(check.passed is None for check in checks):
        return SuiteTest(name, "not measured", checks)
    return SuiteTest(name, "passed", checks)
