"""Updates of the snapshot: changes of a dataset, and failures to load a model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from starlight_exporter.errors import (
    ENGINE_FAILURE_REASONS,
    MODEL_FAILURE_REASONS,
    EngineFailureReason,
    ModelFailureReason,
)
from starlight_exporter.evaluation.engines.settings import LOCAL, EngineSettings
from starlight_exporter.publish.snapshot import (
    BuildInfo,
    ConfigReload,
    DatasetState,
    EngineState,
    ModelState,
    Outcome,
    RunState,
    Snapshot,
)
from starlight_exporter.runs.assessment import Assessment
from starlight_exporter.runs.finished_run import FinishedRun, RunOutput
from starlight_exporter.runs.snapshot_updates import with_finished_run, with_load_failure, with_result
from support.run_requests import run_request
from support.snapshots import FINISHED_AT, basis_of, empty_snapshot, full_evaluation, model_state

MODELS = ("first", "second")
RUN_SECONDS = 12.5


def after_result(old: Snapshot, model: str, fingerprint: str, second: int) -> Snapshot:
    evaluation = full_evaluation(model=model, fingerprint=fingerprint, finished_at=FINISHED_AT + second)
    return with_result(old, evaluation, Assessment((), basis_of(evaluation), ()))


def test_dataset_change_is_dated_by_the_first_result_on_the_new_images() -> None:
    snapshot = empty_snapshot().with_dataset(DatasetState("reference"))
    for name in MODELS:
        snapshot = snapshot.with_model(model_state(name)).with_run(name, "reference", RunState())
    for second, name in enumerate(MODELS):
        snapshot = after_result(snapshot, name, "old", second)
    assert snapshot.datasets["reference"].changed_at is None
    for number, fingerprint in enumerate(("new", "newer"), start=1):
        for name in MODELS:
            snapshot = after_result(snapshot, name, fingerprint, 100 * number + 10 * MODELS.index(name))
        assert snapshot.datasets["reference"].changed_at == FINISHED_AT + 100 * number - RUN_SECONDS


@pytest.mark.parametrize("reason", [reason for reason in MODEL_FAILURE_REASONS if reason != "changed"])
def test_load_failure_is_the_state_of_the_model(reason: ModelFailureReason) -> None:
    model = after_failure(reason, loaded=True)
    assert (model.last_load_successful, model.last_failure, model.load_failures) == (False, reason, {reason: 1})
    assert model.last_failure_detail == "input exif_stream is unknown"


def test_message_that_does_not_name_the_file_is_kept() -> None:
    assert (
        after_failure("unreadable", loaded=True, detail="not readable: a: b").last_failure_detail
        == "not readable: a: b"
    )


@pytest.mark.parametrize("loaded", [True, False, None])
def test_file_replaced_while_loading_is_only_counted(loaded: bool | None) -> None:
    model = after_failure("changed", loaded=loaded)
    assert (model.last_load_successful, model.load_failures) == (loaded, {"changed": 1})
    assert model.last_failure_detail == ""


@pytest.mark.parametrize("reason", ENGINE_FAILURE_REASONS)
def test_failure_of_the_engine_is_its_state_until_a_run_succeeds(reason: EngineFailureReason) -> None:
    engine = EngineSettings("dask", "tcp://h:1")
    request = run_request(Path("model.onnx"), Path("reference"), model="v4", role="production", engine=engine)
    snapshot = empty_snapshot().with_dataset(DatasetState("reference")).with_model(model_state("v4"))
    snapshot = replace(snapshot.with_run("v4", "reference", RunState()), engine=EngineState("dask+tcp://h:1"))

    def after(old: Snapshot, outcome: Outcome, failure: EngineFailureReason | None, **changes: Any) -> EngineState:
        output = RunOutput(replace(request, **changes), engine_failure=failure)
        run = FinishedRun("", "v4", "reference", "test", outcome, 0.0, 1.0, "no answer")
        state = with_finished_run(old, run, output, None, is_current=True).engine
        assert state is not None
        return state

    failed = after(snapshot, "error", reason)
    assert failed == EngineState("dask+tcp://h:1", reason, "no answer")
    later = replace(snapshot, engine=failed)
    # Other failures, cancelled runs and runs on another engine show nothing about this one.
    assert after(later, "error", None) == after(later, "cancelled", None) == failed
    assert after(later, "success", None, engine=LOCAL) == failed
    assert after(later, "success", None) == EngineState("dask+tcp://h:1")


def after_failure(
    reason: ModelFailureReason, *, loaded: bool | None, detail: str = "/home/model.onnx: input exif_stream is unknown"
) -> ModelState:
    model = ModelState("production", "production", "model.onnx", "probability > 0.5", last_load_successful=loaded)
    snapshot = Snapshot(BuildInfo("0", "", "3", "1"), ConfigReload(True, 0.0), models={model.name: model})
    return with_load_failure(snapshot, model.name, reason, detail).models[model.name]
