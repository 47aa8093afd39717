"""What the end of a run makes of the snapshot."""

from __future__ import annotations

from starlight_exporter.publish.snapshot import DatasetState, RunState, Snapshot
from starlight_exporter.runs.results import with_evaluation
from support.snapshots import FINISHED_AT, empty_snapshot, full_evaluation, model_state

MODELS = ("first", "second")


def measured(old: Snapshot, model: str, fingerprint: str, second: int) -> Snapshot:
    """After a result that ended at such a second; its run took 12.5 s."""
    result = full_evaluation(model=model, fingerprint=fingerprint, finished_at=FINISHED_AT + second)
    return with_evaluation(old, (model, "reference"), result, None)


def test_a_dataset_changes_once_however_many_models_are_measured_on_it() -> None:
    snapshot = empty_snapshot().with_dataset(DatasetState("reference"))
    for name in MODELS:
        snapshot = snapshot.with_model(model_state(name)).with_run(name, "reference", RunState())
    for second, name in enumerate(MODELS):
        snapshot = measured(snapshot, name, "old", second)
    assert snapshot.datasets["reference"].changed_at is None
    for number, fingerprint in enumerate(("new", "newer"), start=1):
        for name in MODELS:
            snapshot = measured(snapshot, name, fingerprint, 100 * number + 10 * MODELS.index(name))
        assert snapshot.datasets["reference"].changed_at == FINISHED_AT + 100 * number - 12.5
