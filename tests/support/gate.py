"""Reports of the gate from chosen results."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from starlight_exporter.checks.suite import SuiteTest, exit_code
from starlight_exporter.checks.suite_result import result_line
from starlight_exporter.evaluation.results import Evaluation, Prediction
from starlight_exporter.publish.gate.report import GateReport, wrong_images


def gate_report(
    evaluation: Evaluation, tests: tuple[SuiteTest, ...], predictions: Sequence[Prediction] = (), **changes: Any
) -> GateReport:
    """Return the report of a run of 12.5 s without a baseline model, in which the baseline is right on every image."""
    code = exit_code(evaluation, tests)
    values: dict[str, Any] = {
        "evaluation": evaluation,
        "baseline": "baseline.json",
        "baseline_evaluation": None,
        "tests": tests,
        "code": code,
        "result": result_line(evaluation, tests, code),
        "seconds": 12.5,
        "wrong": wrong_images(predictions, tests, np.zeros(len(predictions), np.int8)),
        "unmeasured": tuple(one for one in predictions if one.verdict is None),
    }
    return GateReport(**(values | changes))
