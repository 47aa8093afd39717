"""Fixed results and snapshots with all parts, for tests of publishers. They need no model and no images."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from starlight_exporter.analysis.comparison import Comparison, PairedSlice
from starlight_exporter.analysis.stream_effects import Ablation, AblationStudy, StreamEffect
from starlight_exporter.checks.checks import run_checks
from starlight_exporter.checks.comparison_basis import BaselineInUse, CheckBasis
from starlight_exporter.checks.counts import counts_of_rates
from starlight_exporter.checks.limits import DEFAULT_LIMITS
from starlight_exporter.checks.machine import Machine
from starlight_exporter.checks.provisional import check_sample
from starlight_exporter.dataset.dataset import DatasetQuality, SliceCount
from starlight_exporter.dataset.shortcuts import Shortcut
from starlight_exporter.detector.contract import METHODS, ImageFormat
from starlight_exporter.errors import NOT_MEASURED_REASONS
from starlight_exporter.evaluation.baseline_verdicts import BaselineVerdicts
from starlight_exporter.evaluation.drift import DRIFT_VARIABLES, Drift, VariableDrift
from starlight_exporter.evaluation.provisional_result import ProvisionalResult
from starlight_exporter.evaluation.results import (
    LATENCY_STAGES,
    Evaluation,
    Execution,
    LatencyObservations,
    LatencyQuantile,
    LatencySummary,
    ModelFacts,
    OperatingPoint,
    Prediction,
    Provenance,
)
from starlight_exporter.evaluation.spec import current_spec
from starlight_exporter.evaluation.unlabelled import UnlabelledResult
from starlight_exporter.models.cards import Origin
from starlight_exporter.models.training_log import TrainingEpoch, TrainingHealth
from starlight_exporter.publish.histogram import LatencyHistogram
from starlight_exporter.publish.snapshot import (
    AnalysisState,
    BuildInfo,
    ConfigReload,
    DatasetState,
    EngineState,
    ModelState,
    Quarantine,
    RunState,
    Snapshot,
)
from starlight_exporter.statistics.calibration import CalibrationBin
from starlight_exporter.statistics.figure_intervals import FigureOfMerit, FiguresOfMerit, RocPoint
from starlight_exporter.statistics.figures_of_merit import FIGURES
from starlight_exporter.statistics.intervals import Interval, Proportion
from starlight_exporter.statistics.latency_ratio import LatencyRatio
from starlight_exporter.statistics.resampling import QuantileRatio
from support.embedding_results import EMBEDDINGS
from support.payload_results import PAYLOAD
from support.results import empty_evaluation

MODEL_SHA256 = "3b7c0f1e2d4a" + "5" * 52
FINGERPRINT = "9a8b7c6d5e4f" + "1" * 52
FINISHED_AT = 1_790_000_000.25
MACHINE = Machine("AMD EPYC", 2, "CPUExecutionProvider", "1.32.0", "Linux", "3.11.7")

EMPTY = Proportion(0, 0, None, None, None)

NO_DRIFT = Drift(None, None, 1_000, None, unavailable="no_drift_reference", detail="no drift reference is configured")


COMPARISON = Comparison(
    evaluation_id="20260921T143320Z-production-reference",
    against="v3",
    against_id="20260921T143000Z-v3-reference",
    slices={
        "clean": PairedSlice(images=4_000, fixed=9, broken=1, p_value=0.021484375),
        "stego": PairedSlice(images=1_000, fixed=0, broken=0, p_value=None),
        "palette": PairedSlice(images=0, fixed=0, broken=0, p_value=None),
    },
    not_comparable=7,
)


ABLATION = AblationStudy(
    model="production",
    dataset="reference",
    provenance=Provenance("3b7c", "9a8b", "probability > 0.5", "0.1.0", "1.32.0", "2.4.6", "13.0.0", 0),
    started_at=1_790_000_010.0,
    finished_at=1_790_000_020.0,
    ablation=Ablation(
        mode="zero",
        images=4_990,
        not_measured=267,
        clean=Proportion(3, 3_990, 0.00075, 0.0002, 0.0022),
        stego=Proportion(985, 1_000, 0.985, 0.975, 0.991),
        detections={},
        log_loss=0.0321,
        effects=(
            StreamEffect(
                stream="lsb",
                state="measured",
                changed=Proportion(4_900, 4_990, 0.982, 0.978, 0.986),
                clean=Proportion(4, 3_990, 0.001, 0.0003, 0.0026),
                stego=Proportion(790, 1_000, 0.79, 0.763, 0.815),
                detections={},
                log_loss=0.4321,
                log_loss_increase=Interval(0.4, 0.35, 0.45),
                slices={
                    "clean": PairedSlice(images=3_990, fixed=1, broken=2, p_value=1.0),
                    "stego": PairedSlice(images=1_000, fixed=0, broken=195, p_value=4e-59),
                },
            ),
            StreamEffect(
                stream="palette",
                state="not measurable",
                changed=Proportion(0, 4_990, 0.0, 0.0, 0.0007),
                clean=None,
                stego=None,
                detections={},
                log_loss=None,
                log_loss_increase=None,
                slices={},
            ),
        ),
    ),
)


def figures_of_merit(*, clean: int = 4_000, stego: int = 1_000) -> FiguresOfMerit:
    """Return figures with artificial bounds; one is not measured."""
    figures = {
        figure: FigureOfMerit(value, value * 0.5, min(1.0, value * 1.5))
        for figure, value in zip(FIGURES, (0.0125, 0.012, 0.0005, 0.9985, 0.955, 0.98, 0.988), strict=True)
    }
    return FiguresOfMerit(
        clean=clean,
        stego=stego,
        covers=clean + 7,
        resamples=1_000,
        figures=figures | {"detection_at_0_1_percent_fpr": FigureOfMerit(None, None, None, "few_clean_images")},
        roc=(
            RocPoint(0.00025, 0.9, 0.85, 0.95),
            RocPoint(0.005, 0.96, 0.95, 0.98),
            RocPoint(0.05, 0.988, 0.98, 0.995),
            RocPoint(1.0, 1.0, 1.0, 1.0),
        ),
        calibration=(
            CalibrationBin(0.0, 0.067, 0.01, proportion(12, 3_900)),
            CalibrationBin(0.533, 0.6, 0.57, proportion(6, 10)),
            CalibrationBin(0.933, 1.0, 0.99, proportion(970, 980)),
        ),
    )


def proportion(count: int, total: int) -> Proportion:
    """Return a proportion with artificial bounds, which cannot be confused with computed ones."""
    if total == 0:
        return EMPTY
    ratio = count / total
    return Proportion(count, total, ratio, ratio * 0.5, min(1.0, ratio * 1.5 + 0.01))


def full_evaluation(
    *,
    evaluation_id: str = "20260921T143320Z-production-reference",
    model: str = "production",
    dataset: str = "reference",
    finished_at: float = FINISHED_AT,
    false_positives: int = 3,
    clean_images: int = 4_000,
    fingerprint: str = FINGERPRINT,
    model_sha256: str = MODEL_SHA256,
    decision: str = "probability > 0.5",
) -> Evaluation:
    """Return an evaluation with all parts; the slice `bmp` and the category `special_cases` are empty."""
    by_format: dict[ImageFormat, Proportion] = {
        "png": proportion(false_positives, clean_images // 2),
        "jpeg": proportion(0, clean_images - clean_images // 2),
        "bmp": EMPTY,
    }
    return Evaluation(
        id=evaluation_id,
        model=model,
        role="production",
        dataset=dataset,
        trigger="schedule",
        provenance=Provenance(
            model_sha256=model_sha256,
            dataset_fingerprint=fingerprint,
            decision=decision,
            exporter_version="0.1.0",
            onnxruntime_version="1.32.0",
            numpy_version="2.4.6",
            pillow_version="13.0.0",
            seed=0,
        ),
        model_facts=ModelFacts(
            file=f"models/{model}/model.onnx",
            size_bytes=1_234_567,
            modified_at=FINISHED_AT - 5_000,
            loaded_at=FINISHED_AT - 100,
            inputs=("pixel_tensor", "meta"),
            outputs=("stego_logits", "method_logits"),
        ),
        started_at=finished_at - 12.5,
        finished_at=finished_at,
        duration_seconds=12.5,
        origin=Origin("v4", "all eight streams", own_card=False),
        images=clean_images + 1_000 + 257,
        images_per_second=423.5,
        not_measured=dict.fromkeys(NOT_MEASURED_REASONS, 0) | {"unreadable": 2, "too_large": 1, "model_error": 4},
        clean=proportion(false_positives, clean_images),
        clean_by_format=by_format,
        negatives={"patterns": proportion(1, 250), "special_cases": EMPTY},
        stego=proportion(985, 1_000),
        detections={method: proportion(200 - 3 * place, 200) for place, method in enumerate(METHODS)},
        confusion={
            actual: {predicted: 195 if actual == predicted else 1 for predicted in (*METHODS, "clean")}
            for actual in (*METHODS, "clean")
        },
        roc_auc=0.9987,
        log_loss=0.0321,
        expected_calibration_error=0.0123,
        operating_points=tuple(
            OperatingPoint(threshold, proportion(10, clean_images), proportion(990, 1_000))
            for threshold in (0.1, 0.1 + 0.05, 0.5, 0.999)
        ),
        latency=LatencySummary(
            images=1_000,
            quantiles=(
                LatencyQuantile(0.5, 0.0021, 0.002, 0.0022),
                LatencyQuantile(0.95, 0.0034, 0.0033, 0.0036),
                LatencyQuantile(0.99, 0.0047, 0.0044, None),
            ),
            stage_means={"read": 0.0001, "decode": 0.0007, "features": 0.0004, "inference": 0.001, "total": 0.0022},
            throughput=454.5,
            contention=0.0043,
        ),
        latency_ratio=LatencyRatio(
            timings=1_000,
            wall=QuantileRatio(1.0312, 0.9821, 1.0894),
            cpu=QuantileRatio(1.0287, 0.9856, 1.0752),
            contention=0.0061,
            baseline_sha256="b" * 64,
        ),
        quality=DatasetQuality(
            counts=(
                SliceCount("clean", None, "png", clean_images // 2),
                SliceCount("clean", None, "jpeg", clean_images - clean_images // 2),
                SliceCount("clean", None, None, 3),
                SliceCount("stego", "alpha", "png", 200),
                SliceCount("stego", None, "gif", 2),
                SliceCount("negative", None, "bmp", 252),
            ),
            method_shares=dict.fromkeys(METHODS, 0.2),
            entropy_bits=2.321928094887362,
            entropy_max_bits=2.321928094887362,
            duplicate_images=2,
            duplicate_groups=(("clean/a.png", "clean/b.png", "stego/c.png"),),
            clean_equals_stego=(("clean/a.png", "clean/b.png", "stego/c.png"),),
            ignored_files=3,
        ),
        training=TrainingHealth(
            epochs=(TrainingEpoch(1, 0.9, 0.95, 0.6, 0.58), TrainingEpoch(2, 0.1, 0.12, 0.99, 0.985)),
            convergence_rate=0.8,
            stability_ratio=0.05,
            generalization_gap=0.02,
            diverged=False,
        ),
        shortcuts={
            "exif": Shortcut(
                "width", "width > 640", proportion(190, 200), proportion(2, clean_images), 0.948, 0.9, 0.97, 0.001
            ),
            "lsb": Shortcut("lsb_printable", "lsb_printable > 0.51", proportion(4, 200), proportion(9, clean_images)),
        },
        leaked_images=2,
        execution=Execution(
            full_model_reason=None, cached_images=900, decoded_images=1_352, cache_bytes=2**28, cache_problem=None
        ),
        payload=PAYLOAD,
        figures=figures_of_merit(clean=clean_images),
        embeddings=EMBEDDINGS,
    )


def unlabelled_evaluation(*, model: str = "production", dataset: str = "incoming", **changes: Any) -> Evaluation:
    """Return an evaluation of an unlabelled dataset with drift of the width; `changes` replace fields of its result."""
    variables = {
        name: VariableDrift(0.3 if name == "width" else 0.01, 0.05, 0.0001 if name == "width" else 0.5)
        for name in DRIFT_VARIABLES
    }
    result = UnlabelledResult(
        images=1_010,
        images_outside_window=5_000,
        alarms=proportion(20, 1_000),
        methods={method: proportion(20 if method == "lsb" else 0, 20) for method in METHODS},
        histogram=(950, *(0,) * 17, 30, 20),
        drift=Drift("reference", "20260921T143320Z-production-reference", 1_000, 4_000, variables),
    )
    return empty_evaluation(
        id=f"20260921T150000Z-{model}-{dataset}",
        model=model,
        dataset=dataset,
        finished_at=FINISHED_AT,
        images=1_010,
        not_measured={**dict.fromkeys(NOT_MEASURED_REASONS, 0), "unreadable": 10},
        unlabelled=replace(result, **changes),
    )


def example_prediction(
    path: str = "clean/a.png", *, verdict: bool | None = False, stego: bool = False, negative: bool = False
) -> Prediction:
    """Return a prediction; without a verdict, it is not measured."""
    return Prediction(
        path=path,
        sha256="ab" * 32,
        file_class="stego" if stego else "negative" if negative else "clean",
        method="alpha" if stego else None,
        category="patterns" if negative else None,
        image_format="png",
        probability=None if verdict is None else 0.75,
        predicted_method=None if verdict is None else "alpha",
        verdict=verdict,
        not_measured="unreadable" if verdict is None else None,
        detail="cannot be decoded" if verdict is None else "",
        seconds=None if verdict is None else 0.002,
    )


def provisional_result(
    *, model: str = "production", dataset: str = "reference", missed: int = 0, model_sha256: str = MODEL_SHA256
) -> ProvisionalResult:
    """Return a sample of 200 clean and 100 stego images; the baseline detected all of these, `missed` are not now."""
    predictions = (
        *(example_prediction(f"clean/{number}.png") for number in range(200)),
        *(example_prediction(f"stego/{number}.png", verdict=number >= missed, stego=True) for number in range(100)),
        example_prediction("negatives/patterns/0.png", negative=True),
        example_prediction("clean/broken.png", verdict=None),
    )
    spec = current_spec(model_sha256=model_sha256, dataset_fingerprint="", decision="probability > 0.5")
    verdicts = {
        one.path: (one.sha256, None if one.verdict is None else one.file_class == "stego") for one in predictions
    }
    return ProvisionalResult(
        model=model,
        role="production",
        dataset=dataset,
        trigger="model",
        spec=spec,
        seed=0,
        sample_size=300,
        dataset_images=1_000_000,
        predictions=predictions,
        baseline=BaselineVerdicts(replace(spec, model_sha256="b" * 64), verdicts),
        started_at=FINISHED_AT + 10,
        finished_at=FINISHED_AT + 20,
    )


BASELINE = BaselineInUse(
    name="v3",
    clean=Fraction("0.0032"),
    formats={"jpeg": Fraction("0.001"), "png": Fraction("0.005")},
    detections=dict.fromkeys(METHODS, Fraction("0.98")),
    latency_seconds={0.5: 0.0021, 0.95: 0.0034, 0.99: 0.0044},
    is_recorded=True,
)


def basis_of(result: Evaluation) -> CheckBasis:
    """Return the basis of the checks without predictions."""
    return CheckBasis(counts_of_rates(result), BASELINE)


def latency_histogram(images: int = 400) -> LatencyHistogram:
    """Return a histogram of timings from 0.1 ms to 40 ms, evenly spaced, in every stage."""
    seconds = np.linspace(0.0001, 0.04, images)
    return LatencyHistogram.empty().add(LatencyObservations(dict.fromkeys(LATENCY_STAGES, seconds), seconds))


def empty_snapshot() -> Snapshot:
    """Return the snapshot of an exporter without models."""
    return Snapshot(
        build=BuildInfo("0.1.0", "0123abc", "3.11.2", "1.32.0", "https://example.org/starlight/"),
        config=ConfigReload(successful=True, success_at=FINISHED_AT - 9_000),
        web_config=ConfigReload(successful=True, success_at=FINISHED_AT - 9_000),
    )


def model_state(name: str = "production", **changes: Any) -> ModelState:
    """Return the state of a configured and loaded model with timings."""
    state = ModelState(
        name=name,
        role="production",
        file=f"models/{name}/model.onnx",
        decision="probability > 0.5",
        sha256=MODEL_SHA256,
        size_bytes=1_234_567,
        modified_at=FINISHED_AT - 5_000,
        loaded_at=FINISHED_AT - 100,
        file_sha256="c0ffee" + MODEL_SHA256[6:],
        last_load_successful=False,
        load_failures={"missing": 1, "invalid": 2},
        latency=latency_histogram(),
    )
    return replace(state, **changes)


def run_state(result: Evaluation, **changes: Any) -> RunState:
    """Return the state after a successful run with this result."""
    state = RunState(
        outcomes={"success": 2, "crashed": 1},
        last_run_successful=True,
        interval_seconds=300.0,
        evaluation=result,
        checks=run_checks(result, basis_of(result)),
        basis=basis_of(result),
        comparisons=(COMPARISON,),
        ablation=replace(ABLATION, model=result.model, dataset=result.dataset),
    )
    return replace(state, **changes)


def full_snapshot() -> Snapshot:
    """Return a snapshot with samples of all metric families and models in all states."""
    snapshot = replace(
        empty_snapshot(),
        storage_failures={"history": 1},
        analyses={"ablation": AnalysisState({"success": 3, "timeout": 1}, False, FINISHED_AT + 20)},
        storage_free_bytes={"history": 2**34},
        storage_size_bytes={"history": 81_920, "evidence": 2**22},
        queued=2,
        monotonic_now=1_000.0,
        clock_steps=1,
        storage_pending=3,
        worker_memory_bytes=3 * 2**29,
        worker_memory_group=True,
        worker_network_isolated=True,
        engine=EngineState("dask+tcp://scheduler:8786", "unreachable", "cannot be reached"),
        history_damaged_lines=0,
        history_compaction_successful=True,
        storage_removed={"history": 3},
    )
    snapshot = snapshot.with_dataset(DatasetState("reference", changed_at=FINISHED_AT - 700))
    snapshot = snapshot.with_dataset(DatasetState("field"))
    snapshot = snapshot.with_model(model_state())
    missing = ModelState(
        "v3", "baseline", 'models/v3/"new"\\model.onnx', "probability > 0.5", load_failures={"missing": 3}
    )
    missing = replace(missing, quarantine=Quarantine("time", "took more than 2m to load", FINISHED_AT, None))
    snapshot = snapshot.with_model(missing)
    snapshot = snapshot.with_run(
        "production", "reference", run_state(full_evaluation(), in_progress=True, progress=0.25, remaining_seconds=42.0)
    )
    # The file on disk is newer than that of the complete result.
    newer = provisional_result(missed=14, model_sha256=model_state().file_sha256 or "")
    sample = check_sample(newer, DEFAULT_LIMITS, baseline="v3")
    run = replace(snapshot.runs["production", "reference"], evaluated_monotonic=700.0, provisional=sample)
    snapshot = snapshot.with_run("production", "reference", run)
    snapshot = snapshot.with_run("production", "field", RunState(interval_seconds=300.0))
    for result in (unlabelled_evaluation(), unlabelled_evaluation(dataset="uploads", drift=NO_DRIFT)):
        snapshot = snapshot.with_dataset(DatasetState(result.dataset, labelled=False))
        snapshot = snapshot.with_run("production", result.dataset, RunState(evaluation=result))
    return snapshot.with_run("v3", "reference", RunState(outcomes={"error": 1}))


def large_snapshot(models: int = 5, datasets: int = 3) -> Snapshot:
    """Return a snapshot with every model evaluated on every dataset."""
    snapshot = empty_snapshot()
    for dataset in range(datasets):
        snapshot = snapshot.with_dataset(DatasetState(f"dataset-{dataset}", changed_at=FINISHED_AT))
    for model in range(models):
        snapshot = snapshot.with_model(model_state(f"model-{model}"))
        for dataset in range(datasets):
            result = full_evaluation(model=f"model-{model}", dataset=f"dataset-{dataset}")
            snapshot = snapshot.with_run(result.model, result.dataset, run_state(result))
    return snapshot


def openmetrics_families(text: str) -> list[Metric]:
    """Parse OpenMetrics text with prometheus_client. Raise ValueError if it is invalid."""
    return list(text_string_to_metric_families(text))  # type: ignore[no-untyped-call]
