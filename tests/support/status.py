"""Models with chosen numbers of errors on 2,000 images, assessed against a baseline and displayed by an application."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from starlight_exporter.checks.basis import basis_against_model, basis_without_baseline
from starlight_exporter.checks.checks import run_checks
from starlight_exporter.detector.contract import METHODS, Method
from starlight_exporter.evaluation.results import Evaluation, LatencyQuantile, LatencySummary, Prediction
from starlight_exporter.models.roles import Role
from starlight_exporter.publish.snapshot import DatasetState, ModelState, RunState
from starlight_exporter.runs.application import Application
from starlight_exporter.statistics.intervals import proportion
from starlight_exporter.statistics.latency_ratio import LatencyRatio
from starlight_exporter.statistics.resampling import QuantileRatio
from support.results import empty_evaluation, make_prediction
from support.snapshots import FINISHED_AT

CLEAN, PER_METHOD, NEGATIVES = 1_000, 160, 200
LATENCY = LatencySummary(
    1_000,
    (
        LatencyQuantile(0.5, 0.0021, 0.002, 0.0022),
        LatencyQuantile(0.95, 0.0034, 0.0033, 0.0036),
        LatencyQuantile(0.99, 0.0047, 0.0044, 0.0052),
    ),
    {"read": 0.0001, "decode": 0.0007, "features": 0.0004, "inference": 0.001, "total": 0.0022},
    454.5,
    contention=0.004,
)
RATIO = LatencyRatio(1_000, QuantileRatio(1.03, 0.98, 1.09), QuantileRatio(1.02, 0.98, 1.07), 0.006, "b" * 64)
BUSY = LatencyRatio(1_000, QuantileRatio(1.9, 0.7, 2.8), QuantileRatio(1.02, 0.98, 1.07), 0.37, "b" * 64)


@dataclass(frozen=True, slots=True)
class Evaluated:
    """An evaluation and its predictions."""

    evaluation: Evaluation
    predictions: tuple[Prediction, ...]


def evaluated(
    model: str,
    role: Role = "research",
    *,
    dataset: str = "reference",
    false_positives: int = 0,
    missed: Mapping[Method, int] | int = 0,
    wrong_negatives: int = 0,
    sha256: str = "",
    finished_at: float = FINISHED_AT,
    latency_ratio: LatencyRatio | None = RATIO,
    fingerprint: str = "9a8b7c6d5e4f" + "1" * 52,
) -> Evaluated:
    """Return an evaluation with these numbers of errors; `missed` are the undetected files of each method."""
    misses = (
        dict.fromkeys(METHODS, missed)
        if isinstance(missed, int)
        else {method: missed.get(method, 0) for method in METHODS}
    )
    predictions = [
        *(make_prediction(f"clean/{n:04}.png", "clean", 0.9 if n < false_positives else 0.1) for n in range(CLEAN)),
        *(
            make_prediction(f"stego/{method}/{n:03}.png", "stego", 0.1 if n < misses[method] else 0.9, method=method)
            for method in METHODS
            for n in range(PER_METHOD)
        ),
        *(
            make_prediction(
                f"negative/patterns/{n:03}.png", "negative", 0.9 if n < wrong_negatives else 0.1, category="patterns"
            )
            for n in range(NEGATIVES)
        ),
    ]
    empty = empty_evaluation()
    detected = PER_METHOD * len(METHODS) - sum(misses.values())
    evaluation = replace(
        empty,
        id=f"{int(finished_at)}-{model}-{dataset}",
        model=model,
        role=role,
        dataset=dataset,
        provenance=replace(
            empty.provenance,
            model_sha256=sha256 or f"{model.encode().hex():0<64}"[:64],
            dataset_fingerprint=fingerprint,
        ),
        model_facts=replace(empty.model_facts, file=f"models/{model}/model.onnx"),
        started_at=finished_at - 30,
        finished_at=finished_at,
        images=len(predictions),
        clean=proportion(false_positives, CLEAN),
        clean_by_format={"png": proportion(false_positives, CLEAN)},
        negatives={"patterns": proportion(wrong_negatives, NEGATIVES)},
        stego=proportion(detected, PER_METHOD * len(METHODS)),
        detections={method: proportion(PER_METHOD - misses[method], PER_METHOD) for method in METHODS},
        latency=LATENCY,
        latency_ratio=latency_ratio,
    )
    return Evaluated(evaluation, tuple(predictions))


def show(application: Application, one: Evaluated, baseline: Evaluated | None = None, *, alerts: bool = True) -> None:
    """Store an evaluation, assessed against the baseline model, and display it."""
    result = one.evaluation
    if baseline is None:
        basis = basis_without_baseline(result, one.predictions)
    else:
        basis = basis_against_model(result, one.predictions, baseline.evaluation, baseline.predictions)
    checks = run_checks(result, basis)
    application.evidence.store(result, one.predictions, checks=checks)
    model = ModelState(
        result.model,
        result.role,
        result.model_facts.file,
        result.provenance.decision,
        sha256=result.provenance.model_sha256,
        last_load_successful=True,
    )
    run = RunState({"success": 1}, last_run_successful=True, evaluation=result, checks=checks, basis=basis)
    application.state.update(
        lambda snapshot: (
            snapshot.with_model(snapshot.models.get(result.model, model))
            .with_dataset(DatasetState(result.dataset, alerts=alerts))
            .with_run(result.model, result.dataset, run)
        )
    )


def show_unloadable(application: Application, name: str, role: Role, detail: str) -> None:
    """Display a model whose file cannot be loaded, without a result on the reference dataset."""
    model = ModelState(
        name,
        role,
        f"models/{name}/model.onnx",
        "probability > 0.5",
        last_load_successful=False,
        last_failure="signature",
        last_failure_detail=detail,
        load_failures={"signature": 1},
    )
    application.state.update(
        lambda snapshot: (
            snapshot.with_model(model)
            .with_dataset(snapshot.datasets.get("reference", DatasetState("reference")))
            .with_run(name, "reference", RunState())
        )
    )
