"""Reports: when they are written, and which results are ranked."""

from __future__ import annotations

from pathlib import Path

from starlight_exporter.publish.snapshot import DatasetState, RunState, Snapshot
from starlight_exporter.runs.configuration import ActiveConfiguration
from starlight_exporter.runs.reports import Reports
from starlight_exporter.runs.state import State
from starlight_exporter.runs.storage import Storage
from support.snapshots import FINISHED_AT, empty_snapshot, example_prediction, full_evaluation, model_state

CONFIG = (
    "models: [{name: production, file: m.onnx, role: production}]\n"
    "datasets: [{name: reference, path: images}]\npaths: {documents: pages}\n"
)


class Setup:
    """Reports of a snapshot, with its storage."""

    def __init__(self, folder: Path, snapshot: Snapshot) -> None:
        (folder / "starlight.yml").write_text(CONFIG)
        self.state = State(snapshot)
        self.config = ActiveConfiguration(folder / "starlight.yml", self.state)
        self.storage = Storage(self.state, self.config.loaded)
        self.reports = Reports(self.state, self.storage, self.config)


def test_unchanged_results_are_reported_again_only_at_the_interval(tmp_path: Path) -> None:
    displayed = full_evaluation()
    known = empty_snapshot().with_model(model_state(displayed.model)).with_dataset(DatasetState(displayed.dataset))
    run = RunState(evaluation=displayed)
    setup = Setup(tmp_path, known.with_run(displayed.model, displayed.dataset, run))

    def written() -> int:
        return setup.state.snapshot.analyses["regression"].outcomes["success"]

    setup.reports.write(displayed.dataset, again=False)
    setup.reports.write(displayed.dataset, again=False)
    assert written() == 1
    setup.reports.write(displayed.dataset, again=True)
    assert written() == 2


def test_ranks_only_results_on_the_images_of_the_newest(tmp_path: Path) -> None:
    older = full_evaluation(evaluation_id="run-1", model="worse", fingerprint="e" * 64)
    newer = [
        full_evaluation(evaluation_id=f"run-{number}", model=f"new-{number}", finished_at=FINISHED_AT + number)
        for number in (2, 3)
    ]
    snapshot = empty_snapshot().with_dataset(DatasetState("reference"))
    for one in (older, *newer):
        state = model_state(one.model, role="research")
        snapshot = snapshot.with_model(state).with_run(one.model, "reference", RunState(evaluation=one))
    setup = Setup(tmp_path, snapshot)
    for one in (older, *newer):
        setup.storage.evidence.store(one, (example_prediction(),))
    setup.reports.write("reference", again=False)
    rows = (setup.config.current.documents() / "model_variants_reference.md").read_text().splitlines()
    (outdated,) = (row for row in rows if row.startswith("| worse |"))
    assert outdated.split(" | ")[1].strip() == "not measured: not yet on these images"
    assert "★" not in outdated
    assert all("★" in row for row in rows if row.startswith(("| new-2 | ", "| new-3 | ")) and "%" in row)
