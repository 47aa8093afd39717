"""One model over one dataset: an Evaluation, and the predictions behind it. Nothing here knows who asks."""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from starlight_exporter.dataset.cache import CacheUse, StreamCache
from starlight_exporter.dataset.dataset import Dataset
from starlight_exporter.dataset.facts import FactCollector
from starlight_exporter.dataset.layout import scan
from starlight_exporter.dataset.quality import measure as measure_quality
from starlight_exporter.dataset.shortcuts import find_shortcuts
from starlight_exporter.detector.graph_cut import NoCut
from starlight_exporter.detector.model import Detector
from starlight_exporter.detector.staged import FullModel, StagedModel
from starlight_exporter.errors import EvaluationError, ModelError, StorageError
from starlight_exporter.evaluation.accuracy import accuracy
from starlight_exporter.evaluation.bulk import BulkPass, Progress, predict_all
from starlight_exporter.evaluation.latency import measure_latency
from starlight_exporter.evaluation.measurement import Measurement
from starlight_exporter.evaluation.reading import ImageSource
from starlight_exporter.evaluation.request import RunRequest
from starlight_exporter.evaluation.results import Evaluation, Execution, ModelFacts, Provenance, RunResult
from starlight_exporter.evaluation.scoring import staged as in_stages
from starlight_exporter.evaluation.spec import current_spec
from starlight_exporter.files import replacing
from starlight_exporter.models.records import records
from starlight_exporter.models.training_files import leaked_images, read_manifest
from starlight_exporter.models.training_log import TrainingHealth, read_training_log

_FILE_SECONDS = 0.5


def evaluate(request: RunRequest, *, progress: Progress | None = None) -> RunResult:
    """Scan the dataset, load the model, measure every image, then the latency.

    Same model, data and seed give the same numbers, whatever the number of threads; times and the id apart. Raises
    ModelError and DatasetError where there is nothing to run, EvaluationError where the run itself failed.
    """
    started, clock = time.time(), time.perf_counter()
    if request.threads < 1 or request.latency_sample < 0 or request.seed < 0:
        raise EvaluationError(f"{_names(request)}: expected at least 1 thread and no negative latency sample or seed")
    detector = Detector.load(request.model_path, expected_sha256=request.expected_sha256)
    if request.decision.needs_method and not detector.has_method:
        raise ModelError(
            f'{request.model_path}: predicts no method, which the decision rule "{request.decision.describe()}" needs',
            reason="signature",
        )
    dataset = scan(request.dataset, request.dataset_root)
    cache = None if request.cache is None else StreamCache(request.cache)
    measurable = sum(file.problem is None for file in dataset.files)
    timed = min(request.latency_sample, measurable)
    reporter = _Reporter(progress, request.progress_file, total=len(dataset.files) + timed)
    bulk_clock = time.perf_counter()
    if cache is not None:
        cache.expect(file.sha256 for file in dataset.files if file.problem is None)
    limits = request.limits
    staged = in_stages(detector, request.decision, dataset.root, dataset.files, limits=limits, seed=request.seed)
    facts = FactCollector()
    bulk = BulkPass(
        ImageSource(dataset.root, limits, cache),
        FullModel(detector) if isinstance(staged, NoCut) else staged,
        request.decision,
        image_seconds=limits.image_seconds,
        facts=facts,
    )
    try:
        predictions = predict_all(
            bulk, dataset.files, threads=request.threads, progress=lambda done, _: reporter.report(done)
        )
    except EvaluationError as error:
        raise EvaluationError(f"{_names(request)}: {error}") from error
    finally:
        # Also what a run that fails has decoded is of use to the next one.
        cache_use = None if cache is None else cache.publish()
    bulk_seconds = time.perf_counter() - bulk_clock
    measured = [file for file, entry in zip(dataset.files, predictions, strict=True) if entry.not_measured is None]
    latency = measure_latency(
        Measurement(detector, request.decision, dataset.root, limits),
        measured,
        sample=request.latency_sample,
        seed=request.seed,
        progress=lambda done, _: reporter.report(len(dataset.files) + done),
    )
    known = records(
        request.model_path, detector.sha256, training_log=request.training_log, models_dir=request.models_dir
    )
    training, warnings = _training(known.training_log)
    leaked, leakage_warnings = _leaked(known.manifest, dataset)
    reporter.finish()
    counts = accuracy(predictions)
    evaluation = Evaluation(
        id=_new_id(started),
        model=request.model,
        role=request.role,
        dataset=request.dataset,
        trigger=request.trigger,
        provenance=provenance(request, detector, dataset),
        model_facts=ModelFacts(
            file=str(request.model_path),
            size_bytes=detector.size_bytes,
            modified_at=detector.modified_at,
            loaded_at=detector.loaded_at,
            inputs=detector.input_names,
            outputs=detector.output_names,
        ),
        started_at=started,
        finished_at=time.time(),
        duration_seconds=time.perf_counter() - clock,
        images=len(dataset.files),
        images_per_second=len(measured) / bulk_seconds,
        not_measured=counts.not_measured,
        clean=counts.clean,
        clean_by_format=counts.clean_by_format,
        negatives=counts.negatives,
        stego=counts.stego,
        detections=counts.detections,
        confusion=counts.confusion,
        roc_auc=counts.roc_auc,
        log_loss=counts.log_loss,
        expected_calibration_error=counts.expected_calibration_error,
        operating_points=counts.operating_points,
        latency=None if latency is None else latency[0],
        quality=measure_quality(dataset),
        shortcuts=find_shortcuts(facts.table(), seed=request.seed),
        leaked_images=leaked,
        training=training,
        origin=known.origin,
        execution=_execution(staged, cache_use, measurable),
    )
    return RunResult(
        evaluation=evaluation,
        predictions=predictions,
        latency=None if latency is None else latency[1],
        warnings=(*known.problems, *warnings, *leakage_warnings, *reporter.warnings, *_cache_warnings(cache_use)),
    )


class _Reporter:
    """Tells a callback and a small file how far the run is. A file that cannot be written costs a warning, no run."""

    def __init__(self, progress: Callable[[int, int], None] | None, path: Path | None, *, total: int) -> None:
        self._progress = progress
        self._path = path
        self._total = total
        self._written_at = -_FILE_SECONDS
        self.warnings: tuple[str, ...] = ()

    def report(self, done: int) -> None:
        if self._progress is not None:
            self._progress(done, self._total)
        now = time.monotonic()
        if self._path is not None and now - self._written_at >= _FILE_SECONDS:
            self._written_at = now
            self._write(self._path, done)

    def finish(self) -> None:
        """Everything is done, also the timings that the bulk pass left nothing for."""
        if self._progress is not None:
            self._progress(self._total, self._total)
        if self._path is not None:
            self._write(self._path, self._total)

    def _write(self, path: Path, done: int) -> None:
        try:
            with replacing(path) as temporary:
                temporary.write_text(json.dumps({"done": done, "total": self._total}), encoding="utf-8")
        except OSError as error:
            self.warnings = (f"{path}: progress cannot be written: {error.strerror or error}",)
            self._path = None


def _execution(staged: StagedModel | NoCut, use: CacheUse | None, images: int) -> Execution:
    return Execution(
        whole_because=staged.reason if isinstance(staged, NoCut) else None,
        cached_images=0 if use is None else use.found,
        decoded_images=images if use is None else images - use.found,
        cache_bytes=None if use is None else use.bytes,
        cache_problem=None if use is None else use.problem,
    )


def _cache_warnings(use: CacheUse | None) -> tuple[str, ...]:
    if use is None or use.problem is None:
        return ()
    return (f"decoded images are not kept, the next run takes longer: {use.problem}",)


def _training(path: Path | None) -> tuple[TrainingHealth | None, tuple[str, ...]]:
    """A training log that is broken says nothing about the model: the run goes on without it."""
    if path is None:
        return None, ()
    try:
        return read_training_log(path), ()
    except StorageError as error:
        return None, (str(error),)


def _leaked(manifest: Path | None, dataset: Dataset) -> tuple[int | None, tuple[str, ...]]:
    """Without a manifest of its training files, or with a broken one, nobody knows whether a model saw these images."""
    if manifest is None:
        return None, ()
    try:
        return leaked_images(dataset.files, read_manifest(manifest)), ()
    except StorageError as error:
        return None, (str(error),)


def provenance(request: RunRequest, detector: Detector, dataset: Dataset) -> Provenance:
    """Return the hashes, decision rule, versions and seed of a run."""
    spec = current_spec(
        model_sha256=detector.sha256,
        dataset_fingerprint=dataset.fingerprint,
        decision=request.decision.describe(),
    )
    return Provenance(**asdict(spec), seed=request.seed)


def _new_id(started: float) -> str:
    """Sorts by time, and is safe in a path and in a URL."""
    return f"{datetime.fromtimestamp(started, UTC):%Y%m%dT%H%M%SZ}-{secrets.token_hex(4)}"


def _names(request: RunRequest) -> str:
    return f"{request.model} on {request.dataset}"
