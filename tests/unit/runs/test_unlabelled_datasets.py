"""Unlabelled datasets in the service: order, drift reference, no checks, no change of content, retention."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from starlight_exporter.evaluation.drift import DRIFT_VARIABLES, DriftSample, DriftUnavailableReason
from starlight_exporter.evaluation.request import DriftReference, RunRequest, UnlabelledImages
from starlight_exporter.evaluation.results import Evaluation, RunResult
from starlight_exporter.publish.evidence import Evidence
from starlight_exporter.publish.retention import deletion_order
from starlight_exporter.publish.snapshot import Pair
from starlight_exporter.runs.application import Application
from starlight_exporter.runs.dataset_changes import UNLABELLED_SECONDS, DatasetChanges
from starlight_exporter.runs.finished_run import FinishedRun, RunOutput
from support.images import image_bytes, write_dataset
from support.results import make_prediction
from support.snapshots import NO_DRIFT, full_evaluation, unlabelled_evaluation
from support.waiting import wait_until

CONFIG = """
models:
  - {name: research, file: r.onnx, role: research}
  - {name: v3, file: v3.onnx, role: baseline}
  - {name: production, file: model.onnx, role: production}
datasets:
  - {name: incoming, path: incoming, labelled: false, drift_reference: reference}
  - {name: reference, path: images}
analyses: {ablate: [production]}
"""
REFERENCE: Pair = ("production", "reference")
INCOMING: Pair = ("production", "incoming")
SAMPLE = DriftSample(np.zeros((3, len(DRIFT_VARIABLES)), np.float32))


@pytest.fixture
def application(tmp_path: Path) -> Application:
    file = tmp_path / "starlight.yml"
    file.write_text(CONFIG)
    application = Application(file)
    application.reload()
    return application


def request_of(application: Application, pair: Pair) -> RunRequest:
    request = application._runner.handler.request(pair, "start")
    assert request is not None
    return request


def finish(application: Application, pair: Pair, result: RunResult) -> None:
    request = request_of(application, pair)
    run = FinishedRun(result.evaluation.id, *pair, "start", "success", 1.0, 2.0, "")
    application._runner.handler.finished(run, RunOutput(request=request, result=result))


def labelled(**changes: object) -> RunResult:
    return RunResult(full_evaluation(**changes), (make_prediction("clean/a.png"),), None, drift_sample=SAMPLE)  # type: ignore[arg-type]


def unlabelled(evaluation: Evaluation) -> RunResult:
    return RunResult(evaluation, (make_prediction("a.png", "unlabelled", 0.9),), None)


def test_unlabelled_datasets_come_after_labelled_ones(application: Application) -> None:
    assert application._runner.in_order(application.state.snapshot.runs) == [
        ("production", "reference"),
        ("v3", "reference"),
        ("production", "incoming"),
        ("research", "reference"),
        ("research", "incoming"),
        ("v3", "incoming"),
    ]


def test_request_has_the_stored_result_on_the_drift_reference(application: Application) -> None:
    assert request_of(application, INCOMING).unlabelled == UnlabelledImages(None, DriftReference("reference"))
    result = labelled()
    finish(application, REFERENCE, result)
    found = request_of(application, INCOMING).unlabelled
    assert found is not None
    assert found.drift_reference is not None
    assert found.drift_reference.evaluation_id == result.evaluation.id
    assert found.drift_reference.spec == result.evaluation.provenance
    assert found.drift_reference.sample_file is not None
    assert found.drift_reference.sample_file.read_bytes() == SAMPLE.to_bytes()
    # Another model has no result.
    assert request_of(application, ("v3", "incoming")).unlabelled == UnlabelledImages(None, DriftReference("reference"))
    assert request_of(application, REFERENCE).unlabelled is None


def test_result_is_displayed_without_checks_and_comparisons(application: Application) -> None:
    finish(application, REFERENCE, labelled())
    finish(application, INCOMING, unlabelled(unlabelled_evaluation()))
    run = application.state.snapshot.runs[INCOMING]
    assert run.evaluation is not None
    assert (run.checks, run.comparisons) == ((), ())
    assert [one.dataset for one in application.state.snapshot.evaluations()] == ["reference"]
    assert [one.dataset for one in application.state.snapshot.unlabelled_evaluations()] == ["incoming"]
    # Neither reports nor ablations of unlabelled images.
    assert [name for name in (*application._runner._jobs, *application._runner._tasks) if "incoming" in name] == []


def test_new_images_are_no_change_of_the_dataset(application: Application) -> None:
    first = unlabelled_evaluation()
    finish(application, INCOMING, unlabelled(first))
    second = replace(first, id="second", provenance=replace(first.provenance, dataset_fingerprint="f" * 64))
    finish(application, INCOMING, unlabelled(second))
    assert application.state.snapshot.datasets["incoming"].changed_at is None


@pytest.mark.parametrize(("reason", "queued"), [("no_reference_result", 1), ("too_few_images", 0)])
def test_result_of_the_reference_is_followed_by_missing_drift(
    application: Application, reason: DriftUnavailableReason, queued: int
) -> None:
    drift = replace(NO_DRIFT, reference="reference", unavailable=reason)
    finish(application, INCOMING, unlabelled(unlabelled_evaluation(drift=drift)))
    finish(application, REFERENCE, labelled())
    assert application._runner.queued() == queued


def test_changed_window_does_not_apply_to_an_earlier_result(application: Application, tmp_path: Path) -> None:
    request = request_of(application, INCOMING)
    file = tmp_path / "starlight.yml"
    file.write_text(CONFIG.replace("labelled: false", "labelled: false, window: {images: 5}"))
    application.reload()
    run = FinishedRun("x", *INCOMING, "start", "success", 1.0, 2.0, "")
    result = unlabelled(unlabelled_evaluation())
    application._runner.handler.finished(run, RunOutput(request=request, result=result))
    assert application.state.snapshot.runs[INCOMING].evaluation is None


def test_unlabelled_evaluations_are_evicted_like_routine_ones(tmp_path: Path) -> None:
    evidence = Evidence(tmp_path)
    for number in range(3):
        first = unlabelled_evaluation()
        spec = replace(first.provenance, dataset_fingerprint=str(number) * 64)
        evidence.store(replace(first, id=f"u{number}", finished_at=100.0 + number, provenance=spec), [])
        evidence.store(
            full_evaluation(evaluation_id=f"l{number}", finished_at=10.0 + number, fingerprint=str(number) * 64), []
        )
    assert [entry.id for entry in deletion_order(evidence.entries())] == ["u0", "u1", "l0", "l1", "u2", "l2"]


class Clock:
    """A clock that the test sets."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.mark.slow
def test_changes_within_a_minute_of_a_scan_wait(application: Application, tmp_path: Path) -> None:
    clock, state = Clock(), application.state
    changes = DatasetChanges(application._config, state, application._runner, clock=clock)
    write_dataset(tmp_path / "images", clean=1, stego=0, negatives=0)
    incoming = tmp_path / "incoming"
    incoming.mkdir()

    def fingerprint(dataset: str) -> str | None:
        return state.snapshot.datasets[dataset].fingerprint

    changes.changed("incoming")
    wait_until(lambda: fingerprint("incoming"))
    empty = fingerprint("incoming")
    (incoming / "a.png").write_bytes(image_bytes(1))
    # Whatever the thread does after a scan is done before it scans another dataset.
    changes.changed("reference")
    wait_until(lambda: fingerprint("reference"))
    changes.changed("incoming")
    (tmp_path / "images" / "clean" / "b.png").write_bytes(image_bytes(2))
    labelled = fingerprint("reference")
    changes.changed("reference")
    wait_until(lambda: fingerprint("reference") != labelled)
    assert fingerprint("incoming") == empty
    clock.now += UNLABELLED_SECONDS
    changes.changed("incoming")
    wait_until(lambda: fingerprint("incoming") != empty)
    # All models on the changed images, once.
    assert application._runner.queued() == 6
