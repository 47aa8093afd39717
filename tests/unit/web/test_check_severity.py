"""The severity of a failed check after a reload: the paired comparison with the baseline model is included."""

from __future__ import annotations

import functools
from pathlib import Path

import pytest

from starlight_exporter.models.roles import Role
from starlight_exporter.publish.snapshot import Pair, RunState, Snapshot
from starlight_exporter.runs.application import Application
from support.status import evaluated

CONFIG = """
models:
  - {{name: production, file: model.onnx, role: production}}
  - {{name: other, file: v3.onnx, role: {role}}}
datasets: [{{name: reference, path: images}}]
checks: {{fpr_target: {target}}}
"""


@pytest.mark.parametrize(
    ("role", "broken", "severity"),
    [("baseline", 20, "critical"), ("baseline", 3, "warning"), ("research", 20, None)],
)
def test_only_pairs_with_the_baseline_model_make_a_failure_critical(
    tmp_path: Path, role: Role, broken: int, severity: str | None
) -> None:
    file = tmp_path / "starlight.yml"
    file.write_text(CONFIG.format(role=role, target=0.0005))
    application = Application(file)
    application.reload()
    for one in (evaluated("other", role), evaluated("production", "production", false_positives=broken)):
        application.evidence.store(one.evaluation, one.predictions)
        shown = RunState(evaluation=one.evaluation)
        application.state.update(functools.partial(with_run, pair=(one.evaluation.model, "reference"), run=shown))
    # A change of the limits assesses the displayed results again.
    file.write_text(CONFIG.format(role=role, target=0.0006))
    application.reload()
    checks = application.state.snapshot.runs["production", "reference"].checks
    check = next(one for one in checks if one.name == "fpr_baseline")
    assert (check.severity, check.passed is None) == (severity, severity is None)


def with_run(snapshot: Snapshot, pair: Pair, run: RunState) -> Snapshot:
    return snapshot.with_run(*pair, run)
