"""Request of a run. Light to import: the service process schedules runs without loading ONNX Runtime."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from starlight_exporter.dataset.cache_settings import CacheSettings
from starlight_exporter.dataset.dataset import FileFault
from starlight_exporter.dataset.engine import BATCH
from starlight_exporter.dataset.sources.root import DatasetRoot
from starlight_exporter.dataset.window import Window
from starlight_exporter.detector.contract import DEFAULT_MAX_FILE_BYTES, DEFAULT_MAX_PIXELS
from starlight_exporter.detector.decision import DecisionRule
from starlight_exporter.detector.providers import CPU, Providers
from starlight_exporter.evaluation.baseline_verdicts import BaselineVerdicts
from starlight_exporter.evaluation.engines.settings import LOCAL, EngineSettings
from starlight_exporter.evaluation.spec import EvaluationSpec
from starlight_exporter.models.roles import Role

DEFAULT_IMAGE_SECONDS: Final = 30.0
DEFAULT_WORKER_MEMORY: Final = 3 * 1024**3 // 2


def decode_budget(memory_bytes: int) -> int:
    """Return how much of the memory of a process images are decoded in; the model and the rest need as much."""
    return memory_bytes // 2


@dataclass(frozen=True, slots=True)
class RunLimits:
    """Limits per image. A larger file or image is `too_large` and a slower one `timeout`: neither is measured.

    The time is checked after each image, because a decoder in a thread cannot be interrupted. The service ends a worker
    process that exceeds it by more (`runs.supervision`). Images are decoded concurrently as long as the estimated
    memory of all of them is at most `decode_bytes`.
    """

    image_seconds: float = DEFAULT_IMAGE_SECONDS
    max_file_bytes: int = DEFAULT_MAX_FILE_BYTES
    max_pixels: int = DEFAULT_MAX_PIXELS
    decode_bytes: int = decode_budget(DEFAULT_WORKER_MEMORY)

    def within(self, memory_bytes: int | None) -> RunLimits:
        """Return the limits in a process with this memory limit, None without one."""
        if memory_bytes is None:
            return self
        return replace(self, decode_bytes=min(self.decode_bytes, decode_budget(memory_bytes)))


def available_cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass(frozen=True, slots=True)
class BaselineModel:
    """File and decision rule of the model whose latency is compared in the same run."""

    path: Path
    decision: DecisionRule


@dataclass(frozen=True, slots=True)
class DriftReference:
    """Stored result of the same model on a labelled dataset; only `dataset` is set if there is none.

    `sample_file` has facts and scores of its clean images.
    """

    dataset: str
    evaluation_id: str | None = None
    spec: EvaluationSpec | None = None
    sample_file: Path | None = None


@dataclass(frozen=True, slots=True)
class UnlabelledImages:
    """Marks the dataset of a run as unlabelled: which files are in the window, and what they are compared with."""

    window: Window | None = None
    drift_reference: DriftReference | None = None


@dataclass(frozen=True, slots=True)
class ProvisionalRequest:
    """Asks for a provisional result on a sample of a large dataset.

    With `has_result`, the dataset has a result, and there is no sample if all images fit into its time. `baseline` are
    the verdicts on an earlier sample, which are used again if nothing has changed. With `is_published`, the provisional
    result of this evaluation was published before the evaluation was interrupted, and only the full pass follows.
    """

    has_result: bool = False
    baseline: BaselineVerdicts | None = None
    is_published: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRequest:
    """All parameters of a run; picklable. `trigger` is one word, such as `schedule` or `command`.

    `latency_sample` is the number of images to time; 0 skips the latency run. With a `baseline`, both models are timed
    alternately, and images are repeated until there are that many timings per model. `progress_file` is rewritten at
    most twice a second with `{"done": images, "total": images}` and the digest of the `listing`. The predictions are
    written to `predictions_file`, by default a temporary file that is deleted with the result. Without `cache` every
    image is decoded. `models_dir` is searched for the training log, manifest and card of a model with the same content
    if they are not next to the model; `training_log` takes precedence. The files of `faults` are not measured. A thread
    decodes `batch` files, then scores them together. With `unlabelled`, all images below the root are one class without
    labels, and nothing is timed. Without `provisional`, no sample is measured before. `providers` run the model and the
    baseline model, so that their latencies are comparable. `engine` runs the maps over shards of images; `threads` are
    those of the local engine.
    """

    model: str
    role: Role
    model_path: Path
    decision: DecisionRule
    dataset: str
    dataset_root: DatasetRoot
    trigger: str
    training_log: Path | None = None
    models_dir: Path | None = None
    limits: RunLimits = field(default_factory=RunLimits)
    latency_sample: int = 1000
    seed: int = 0
    threads: int = field(default_factory=available_cores)
    expected_sha256: str | None = None
    batch: int = BATCH
    faults: tuple[FileFault, ...] = ()
    progress_file: Path | None = None
    predictions_file: Path | None = None
    cache: CacheSettings | None = None
    baseline: BaselineModel | None = None
    unlabelled: UnlabelledImages | None = None
    provisional: ProvisionalRequest | None = None
    providers: Providers = CPU
    engine: EngineSettings = LOCAL

    @property
    def model_root(self) -> Path | None:
        """The folder that a research model in `models_dir` must not leave through a link; None for other models."""
        inside = self.models_dir is not None and self.model_path.absolute().is_relative_to(self.models_dir.absolute())
        return self.models_dir if inside and self.role == "research" else None
