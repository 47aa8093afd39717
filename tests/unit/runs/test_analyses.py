"""What the exporter works out besides evaluations: reports of changed results alone, and of all at the interval."""

from __future__ import annotations

from pathlib import Path

import pytest

from starlight_exporter.config import Config, load_config
from starlight_exporter.publish.evidence import Evidence
from starlight_exporter.publish.snapshot import DatasetState, RunState
from starlight_exporter.runs.reports import Reports
from starlight_exporter.runs.state import State
from support.snapshots import FINISHED_AT, empty_snapshot, example_prediction, full_evaluation, model_state


@pytest.fixture
def config(tmp_path: Path) -> Config:
    file = tmp_path / "starlight.yml"
    file.write_text(
        "models: [{name: production, file: m.onnx, role: production}]\n"
        "datasets: [{name: reference, path: images}]\npaths: {documents: pages}\n"
    )
    return load_config(file)


def test_the_same_results_are_written_down_again_only_at_the_interval(config: Config, tmp_path: Path) -> None:
    shown = full_evaluation()
    model, dataset = model_state(shown.model), DatasetState(shown.dataset)
    known = empty_snapshot().with_model(model).with_dataset(dataset)
    state = State(known.with_run(shown.model, shown.dataset, RunState(evaluation=shown)))
    reports = Reports(
        state, config=lambda: config, evidence=lambda: Evidence(tmp_path / "results", keep=5, max_bytes=2**30)
    )

    def written() -> int:
        return state.snapshot.analyses["regression"].outcomes["success"]

    reports.write(shown.dataset, again=False)
    reports.write(shown.dataset, again=False)
    assert written() == 1
    reports.write(shown.dataset, again=True)
    assert written() == 2


def test_models_are_ranked_on_the_images_of_the_newest_result_alone(config: Config, tmp_path: Path) -> None:
    older = full_evaluation(evaluation_id="run-1", model="worse", fingerprint="e" * 64)
    newer = [
        full_evaluation(evaluation_id=f"run-{number}", model=f"new-{number}", finished_at=FINISHED_AT + number)
        for number in (2, 3)
    ]
    evidence = Evidence(tmp_path / "results", keep=5, max_bytes=2**30)
    snapshot = empty_snapshot().with_dataset(DatasetState("reference"))
    for one in (older, *newer):
        evidence.store(one, (example_prediction(),))
        state = model_state(one.model, role="research")
        snapshot = snapshot.with_model(state).with_run(one.model, "reference", RunState(evaluation=one))
    Reports(State(snapshot), config=lambda: config, evidence=lambda: evidence).write("reference", again=False)
    rows = (config.documents() / "model_variants_reference.md").read_text().splitlines()
    (stale,) = (row for row in rows if row.startswith("| worse |"))
    assert stale.split(" | ")[1].strip() == "not measured: not yet on these images"
    assert "★" not in stale
    assert all("★" in row for row in rows if row.startswith(("| new-2 | ", "| new-3 | ")) and "%" in row)
