"""Report of the regression suite as JSON, written by the gate and by the exporter."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from datetime import UTC, datetime

from starlight_exporter.checks.suite import SuiteTest
from starlight_exporter.checks.suite_result import result_line
from starlight_exporter.evaluation.results import Evaluation
from starlight_exporter.formatting import iso


def report_json(evaluation: Evaluation, tests: Sequence[SuiteTest], baseline: str, code: int) -> str:
    """Return the model, dataset and provenance, the result in one line, and every check."""
    content = {
        "tested_at": iso(evaluation.finished_at),
        "model": evaluation.model,
        "dataset": evaluation.dataset,
        "baseline": baseline,
        "exit_code": code,
        "result": result_line(evaluation, tests, code),
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
