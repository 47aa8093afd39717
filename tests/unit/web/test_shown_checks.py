"""The checks of the shown result: as the alerts have them, with what the baseline model's verdicts say."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from starlight_exporter.analysis.comparison import Comparison, PairedSlice
from starlight_exporter.publish.snapshot import RunState
from starlight_exporter.runs.application import Application
from starlight_exporter.statistics.hypothesis_tests import mcnemar_p_value
from starlight_exporter.statistics.intervals import proportion
from support.snapshots import full_evaluation

CONFIG = """
models:
  - {name: production, file: model.onnx, role: production}
  - {name: v3, file: v3.onnx, role: baseline}
  - {name: v5, file: v5.onnx, role: research}
datasets: [{name: reference, path: images}]
baseline: baseline.json
"""


@pytest.mark.parametrize(
    ("against", "broken", "severity"),
    [("v3", 20, "critical"), ("v3", 3, "warning"), ("v5", 20, "warning"), ("previous", 20, "warning")],
)
def test_only_a_baseline_model_makes_a_failure_certain(
    tmp_path: Path, against: str, broken: int, severity: str
) -> None:
    (tmp_path / "starlight.yml").write_text(CONFIG)
    (tmp_path / "baseline.json").write_text(json.dumps({"fpr": 0.1}))
    application = Application(tmp_path / "starlight.yml")
    application.reload()
    # Past 1.1 times the baseline by its value, not by its interval.
    result = replace(full_evaluation(), clean=proportion(2, 500))
    slices = {"clean": PairedSlice(500, 0, broken, mcnemar_p_value(0, broken))}
    run = RunState(evaluation=result, comparisons=(Comparison(result.id, against, "", slices, 0),))
    application.state.update(lambda snapshot: snapshot.with_run("production", "reference", run))
    application.reload()
    checks = application.state.snapshot.runs["production", "reference"].checks
    assert next(one for one in checks if one.name == "fpr_baseline").severity == severity
