"""The severity of a failed check after a reload: the comparison with the baseline model is included."""

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
def test_only_a_baseline_model_makes_a_failure_critical(
    tmp_path: Path, against: str, broken: int, severity: str
) -> None:
    (tmp_path / "starlight.yml").write_text(CONFIG)
    (tmp_path / "baseline.json").write_text(json.dumps({"fpr": 0.1}))
    application = Application(tmp_path / "starlight.yml")
    application.reload()
    # The value exceeds 1.1 times the baseline, the interval does not.
    result = replace(full_evaluation(), clean=proportion(2, 500))
    slices = {"clean": PairedSlice(500, 0, broken, mcnemar_p_value(0, broken))}
    run = RunState(evaluation=result, comparisons=(Comparison(result.id, against, "", slices, 0),))
    application.state.update(lambda snapshot: snapshot.with_run("production", "reference", run))
    application.reload()
    checks = application.state.snapshot.runs["production", "reference"].checks
    assert next(one for one in checks if one.name == "fpr_baseline").severity == severity
