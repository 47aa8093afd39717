"""Results after a restart: those that apply to the configuration are restored, all other pairs are evaluated."""

from __future__ import annotations

import time
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path

import pytest

from starlight_exporter.activity import NO_ACTIVITY
from starlight_exporter.detector.model_file import model_sha256
from starlight_exporter.evaluation.inputs import scan_dataset
from starlight_exporter.evaluation.request import RunRequest
from starlight_exporter.evaluation.results import Evaluation, Provenance, RunResult
from starlight_exporter.evaluation.spec import current_spec
from starlight_exporter.runs.application import Application
from starlight_exporter.runs.evaluations import Evaluations
from starlight_exporter.runs.finished_run import FinishedRun, RunOutput
from starlight_exporter.runs.restore import Restorer
from support.images import write_dataset
from support.results import make_prediction
from support.snapshots import full_evaluation, unlabelled_evaluation

CONFIG = """
models: [{name: production, file: model.onnx, role: production}]
datasets:
  - {name: reference, path: images}
  - {name: incoming, path: images, labelled: false, drift_reference: reference}
"""
OTHER = CONFIG.replace("datasets:", "datasets:\n  - {name: other, path: others}")


def start(folder: Path, config: str) -> Application:
    """Return an application with its configuration active and its model files hashed, whose threads do not run."""
    (folder / "starlight.yml").write_text(config)
    application = Application(folder / "starlight.yml")
    application.reload()
    return application


def evaluations_of(application: Application) -> Evaluations:
    handler = application._runner.handler
    assert isinstance(handler, Evaluations)
    return handler


def request_of(application: Application, dataset: str) -> RunRequest:
    request = evaluations_of(application).request(("production", dataset), "start")
    assert request is not None
    return request


def fingerprint(application: Application, dataset: str) -> str:
    return scan_dataset(request_of(application, dataset), NO_ACTIVITY).fingerprint


def store(application: Application, example: Evaluation) -> None:
    request = request_of(application, example.dataset)
    spec = current_spec(
        model_sha256=model_sha256(request.model_path),
        dataset_fingerprint=fingerprint(application, example.dataset),
        decision=request.decision.describe(),
    )
    evaluation = replace(example, provenance=Provenance(**asdict(spec), seed=0), finished_at=time.time())
    run = FinishedRun(evaluation.id, "production", example.dataset, "start", "success", 1.0, 2.0, "")
    output = RunOutput(request=request, result=RunResult(evaluation, (make_prediction("a.png"),), None))
    evaluations_of(application).finished(run, output)


def restore(application: Application) -> None:
    handler = evaluations_of(application)
    Restorer(
        config=application._config,
        state=application.state,
        storage=application._storage,
        pipeline=handler._pipeline,
        runner=application._runner,
        analyses=handler._analyses,
        fingerprint=partial(fingerprint, application),
    )._restore()


@pytest.mark.parametrize(
    ("config", "restored"),
    [
        pytest.param(CONFIG, {"reference", "incoming"}, id="unchanged, two datasets with one path"),
        pytest.param(OTHER, {"reference", "incoming"}, id="unrelated dataset"),
        pytest.param(OTHER.replace("reference: reference", "reference: other"), {"reference"}, id="drift reference"),
        pytest.param(CONFIG.replace(", drift_reference: reference", ""), {"reference"}, id="no drift reference"),
        pytest.param(CONFIG.replace("false,", "false, window: {images: 1},"), {"reference"}, id="window"),
        pytest.param(
            CONFIG.replace("images, labelled: false, drift_reference: reference", "images"),
            {"reference"},
            id="labelled",
        ),
    ],
)
def test_restores_results_that_apply_to_the_configuration(tmp_path: Path, config: str, restored: set[str]) -> None:
    write_dataset(tmp_path / "images", clean=2, stego=1, negatives=0)
    write_dataset(tmp_path / "others", clean=1, stego=0, negatives=0)
    (tmp_path / "model.onnx").write_bytes(b"model")
    stopped = start(tmp_path, CONFIG)
    store(stopped, full_evaluation())
    store(stopped, unlabelled_evaluation())
    stopped.stop()
    application = start(tmp_path, config)
    queued = application._runner.queued()
    restore(application)
    runs = application.state.snapshot.runs
    assert {dataset for (_, dataset), run in runs.items() if run.evaluation is not None} == restored
    assert application._runner.queued() - queued == len(runs) - len(restored)
