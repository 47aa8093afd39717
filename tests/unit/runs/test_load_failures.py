"""What a failed load says of a model: of the file that is there, and not of one that has gone."""

from __future__ import annotations

import pytest

from starlight_exporter.errors import MODEL_FAILURE_REASONS, ModelFailureReason
from starlight_exporter.publish.snapshot import BuildInfo, ConfigReload, ModelState, Snapshot
from starlight_exporter.runs.results import with_load_failure


@pytest.mark.parametrize("reason", [reason for reason in MODEL_FAILURE_REASONS if reason != "changed"])
def test_a_file_that_does_not_load_is_told(reason: ModelFailureReason) -> None:
    model = after_failure(reason, loaded=True)
    assert (model.last_load_successful, model.last_failure, model.load_failures) == (False, reason, {reason: 1})


@pytest.mark.parametrize("loaded", [True, False, None])
def test_a_file_that_is_replaced_meanwhile_is_counted_and_no_more(loaded: bool | None) -> None:
    model = after_failure("changed", loaded=loaded)
    assert (model.last_load_successful, model.load_failures) == (loaded, {"changed": 1})


def after_failure(reason: ModelFailureReason, *, loaded: bool | None) -> ModelState:
    model = ModelState("production", "production", "model.onnx", "probability > 0.5", last_load_successful=loaded)
    snapshot = Snapshot(BuildInfo("0", "", "3", "1"), ConfigReload(True, 0.0), models={model.name: model})
    return with_load_failure(snapshot, model.name, reason).models[model.name]
