"""What a run is asked to do. Light to import: the process that only schedules runs needs no ONNX runtime for it."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from starlight_exporter.dataset.cache_settings import CacheSettings
from starlight_exporter.detector.contract import DEFAULT_MAX_PIXELS
from starlight_exporter.detector.decision import DecisionRule
from starlight_exporter.models.roles import Role

DEFAULT_IMAGE_SECONDS: Final = 30.0
DEFAULT_MAX_FILE_BYTES: Final = 256 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class RunLimits:
    """What one image may cost. A larger file or picture is `too_large`, a slower image `timeout`, both not measured.

    The time is checked when the image is done: nothing can interrupt a decoder inside a thread, so a process that hangs
    has to be ended from outside.
    """

    image_seconds: float = DEFAULT_IMAGE_SECONDS
    max_file_bytes: int = DEFAULT_MAX_FILE_BYTES
    max_pixels: int = DEFAULT_MAX_PIXELS


def available_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRequest:
    """Everything that a run needs to know; it can be pickled. `trigger` says who asked, in one word.

    `latency_sample` 0 leaves the latency run out. `progress_file` is rewritten at most twice a second with
    `{"done": images, "total": images}`. Without `cache` every image is decoded. A training log, manifest or card that
    does not lie beside the model is looked for in the folders of `models_dir`, beside a model of the same bytes;
    `training_log` goes before both.
    """

    model: str
    role: Role
    model_path: Path
    decision: DecisionRule
    dataset: str
    dataset_root: Path
    trigger: str
    training_log: Path | None = None
    models_dir: Path | None = None
    limits: RunLimits = field(default_factory=RunLimits)
    latency_sample: int = 1000
    seed: int = 0
    threads: int = field(default_factory=available_cores)
    expected_sha256: str | None = None
    progress_file: Path | None = None
    cache: CacheSettings | None = None
