"""What the exporter works out besides evaluations: reports of changed results alone, and of all at the interval."""

from __future__ import annotations

from pathlib import Path

import pytest

from exporter.config import Config, load_config
from exporter.publish.evidence import Evidence
from exporter.publish.snapshot import DatasetState, RunState
from exporter.service.reports import Reports
from exporter.service.state import State
from support.publishing import empty_snapshot, evaluation, model_state


@pytest.fixture
def config(tmp_path: Path) -> Config:
    file = tmp_path / "starlight.yml"
    file.write_text(
        "models: [{name: production, file: m.onnx, role: production}]\n"
        "datasets: [{name: reference, path: images}]\npaths: {documents: pages}\n"
    )
    return load_config(file)


def test_the_same_results_are_written_down_again_only_at_the_interval(config: Config, tmp_path: Path) -> None:
    shown = evaluation()
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
