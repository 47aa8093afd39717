"""The configuration file: what is evaluated, when, and where results go. `starlight.yml` shows every section.

Relative paths are relative to the folder of the configuration file. ConfigError names the file, the key and what was
expected; nothing else is raised.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, field_validator, model_validator

from starlight_exporter.crontab import cron_trigger
from starlight_exporter.dataset.settings import DEFAULT_CACHE_BYTES, CacheSettings
from starlight_exporter.detector.contract import DEFAULT_MAX_PIXELS, METHODS
from starlight_exporter.detector.decision import PLAIN_THRESHOLD, DecisionRule
from starlight_exporter.evaluation.request import DEFAULT_IMAGE_SECONDS, DEFAULT_MAX_FILE_BYTES
from starlight_exporter.evaluation.results import Role
from starlight_exporter.strict_yaml import StrictModel, load_strict, shown

MAX_MODELS = 20
MAX_DATASETS = 20
"""Every model on every dataset is a few hundred series; labels have to stay bounded."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")
_DURATION = re.compile(r"(?:(\d{1,9})d)?(?:(\d{1,9})h)?(?:(\d{1,9})m)?(?:(\d{1,9})s)?(?:(\d{1,9})ms)?", re.ASCII)
_DURATION_UNITS = (86400.0, 3600.0, 60.0, 1.0, 0.001)
_SIZE = re.compile(r"(\d{1,15})(KiB|MiB|GiB)", re.ASCII)
_SIZE_UNITS = {"KiB": 1024, "MiB": 1024**2, "GiB": 1024**3}


def _seconds(value: object) -> float:
    match = _DURATION.fullmatch(value) if isinstance(value, str) and value else None
    if match is None:
        raise ValueError(f"expected a duration such as 30s, 15m or 1h30m; got {shown(value)}")
    return sum(int(digits or 0) * unit for digits, unit in zip(match.groups(), _DURATION_UNITS, strict=True))


def duration_text(seconds: float) -> str:
    """Seconds as the configuration writes them, e.g. `1h30m`; `0s` for zero."""
    left = round(seconds * 1000)
    text = ""
    for unit, size in (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)):
        count, left = divmod(left, size)
        text += f"{count}{unit}" if count else ""
    return text or "0s"


def _between(low: str, high: str) -> AfterValidator:
    def check(seconds: float) -> float:
        if not _seconds(low) <= seconds <= _seconds(high):
            raise ValueError(f"expected a duration from {low} to {high}; got {duration_text(seconds)}")
        return seconds

    return AfterValidator(check)


def _bytes(value: object) -> object:
    match = _SIZE.fullmatch(value) if isinstance(value, str) else None
    if match is not None:
        return int(match[1]) * _SIZE_UNITS[match[2]]
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise ValueError(f"expected a size such as 64MiB, or a whole number of bytes; got {shown(value)}")


def _name(value: str) -> str:
    if not _NAME.fullmatch(value):
        raise ValueError(
            f"expected 1 to 63 letters, digits, '-', '_' or '.', the first a letter or digit; got {shown(value)}"
        )
    return value


def _path(value: object, info: ValidationInfo) -> Path:
    if not isinstance(value, str) or not value or "\0" in value:
        raise ValueError(f"expected a path; got {shown(value)}")
    # Not resolved: a symlink that is swapped has to be followed anew each time.
    return Path(os.path.normpath((info.context or {}).get("folder", Path()) / value))


def _as_if_written(value: object) -> Any:
    # Paths and durations only get their meaning by validation, so such a default takes the way of a written value.
    return Field(default=value, validate_default=True)


Duration = Annotated[float, BeforeValidator(_seconds)]
"""Seconds; written as a string of Prometheus's form."""
Size = Annotated[int, BeforeValidator(_bytes)]
"""Bytes."""
Name = Annotated[str, AfterValidator(_name)]
ConfigPath = Annotated[Path, BeforeValidator(_path)]
Probability = Annotated[float, Field(ge=0, le=1)]


class MethodThresholds(StrictModel):
    """One threshold per predicted method."""

    alpha: Probability
    palette: Probability
    lsb: Probability
    exif: Probability
    eoi: Probability


class DecisionConfig(StrictModel):
    """Either one threshold, or one per predicted method."""

    threshold: Probability | None = None
    thresholds: MethodThresholds | None = None

    @model_validator(mode="after")
    def _either(self) -> Self:
        if (self.threshold is None) == (self.thresholds is None):
            raise ValueError("expected either threshold or thresholds")
        return self

    def rule(self) -> DecisionRule:
        """The rule as the detector room knows it."""
        if self.thresholds is not None:
            return DecisionRule.per_method({method: getattr(self.thresholds, method) for method in METHODS})
        return DecisionRule.single(PLAIN_THRESHOLD if self.threshold is None else self.threshold)


class ModelConfig(StrictModel):
    """A model: a file, a decision rule and a role. The same file with another rule is another model."""

    name: Name
    file: ConfigPath
    role: Role
    decision: DecisionConfig = DecisionConfig(threshold=PLAIN_THRESHOLD)
    training_log: ConfigPath | None = None


class ResearchConfig(StrictModel):
    """A folder of models: each of its folders with a `card.yml` or `model.onnx` is a research model while it is there.

    A model that the configuration names, or whose file it names, is not taken a second time. All decide by one rule.
    The cards also tell of configured models whose files have the same bytes, and nothing that tells beside them.
    """

    models_dir: ConfigPath
    decision: DecisionConfig = DecisionConfig(threshold=PLAIN_THRESHOLD)


class DatasetConfig(StrictModel):
    """A folder with clean/, stego/ and negatives/."""

    name: Name
    path: ConfigPath


class ScheduleConfig(StrictModel):
    """When everything is evaluated anew: every `interval`, or at the times of `cron` (five fields, UTC)."""

    interval: Annotated[Duration, _between("10s", "366d")] | None = None
    cron: str | None = None

    @model_validator(mode="after")
    def _either(self) -> Self:
        if (self.interval is None) == (self.cron is None):
            raise ValueError("expected either interval or cron")
        return self

    @field_validator("cron")
    @classmethod
    def _readable(cls, value: str | None) -> str | None:
        if value is not None:
            try:
                trigger = cron_trigger(value)
            except ValueError as error:
                raise ValueError(
                    f'expected five cron fields such as "0 3 * * *"; got {shown(value)} ({error})'
                ) from error
            if trigger.get_next_fire_time(None, datetime.now(UTC)) is None:
                raise ValueError(f"expected a time that comes; {shown(value)} never does")
        return value


class WatchConfig(StrictModel):
    """How often files are looked at, and how long a changed one has to rest before it counts as written."""

    interval: Annotated[Duration, _between("100ms", "1h")] = 2.0
    settle: Annotated[Duration, _between("0s", "1h")] = 3.0


class PathsConfig(StrictModel):
    """Where the exporter writes (history under `data`, evidence under `results`), and the runbooks that it serves.

    Decoded images are kept under `cache`, by default in a folder of `data`; comparison and variants are written to
    `documents`, by default a folder of `results`.
    """

    data: ConfigPath = _as_if_written("data")
    results: ConfigPath = _as_if_written("results")
    cache: ConfigPath | None = None
    documents: ConfigPath | None = None
    runbooks: ConfigPath = _as_if_written("alerting/runbooks")


class LimitsConfig(StrictModel):
    """What one run may take; `threads` is the number of cores where it is not given.

    `cache_bytes` is what decoded images may take on disk, whatever the number of datasets; 0 keeps none.
    """

    threads: Annotated[int, Field(ge=1, le=256)] | None = None
    evaluation_timeout: Annotated[Duration, _between("1s", "7d")] = 3600.0
    image_timeout: Annotated[Duration, _between("100ms", "1h")] = DEFAULT_IMAGE_SECONDS
    max_image_pixels: Annotated[int, Field(ge=1, le=2**31)] = DEFAULT_MAX_PIXELS
    max_file_bytes: Annotated[Size, Field(ge=1, le=2**40)] = DEFAULT_MAX_FILE_BYTES
    cache_bytes: Annotated[Size, Field(ge=0, le=2**50)] = DEFAULT_CACHE_BYTES


class LatencyConfig(StrictModel):
    """How many images the latency run takes (all, if there are fewer), and the seed of their choice."""

    sample: Annotated[int, Field(ge=0, le=1_000_000)] = 1000
    seed: Annotated[int, Field(ge=0, le=2**32 - 1)] = 0


class HistoryConfig(StrictModel):
    """When history.jsonl is rotated, and how many rotated files stay."""

    max_bytes: Annotated[Size, Field(ge=64 * 1024, le=2**40)] = 64 * 1024 * 1024
    keep: Annotated[int, Field(ge=0, le=1000)] = 4


class EvidenceConfig(StrictModel):
    """How many evaluations of a model and dataset keep their predictions and thumbnails, and how large all may be."""

    keep: Annotated[int, Field(ge=1, le=10_000)] = 50
    max_bytes: Annotated[Size, Field(ge=1024 * 1024, le=2**44)] = 2 * 1024**3


class AnalysesConfig(StrictModel):
    """What the exporter works out besides evaluations: `ablate` names the roles of the models whose streams it ablates.

    It does so after the model's file or the images changed, and every `interval`, whenever no evaluation is wanted;
    so it writes comparison, variants and the regression suite's report.
    """

    interval: Annotated[Duration, _between("1m", "366d")] = 86_400.0
    ablate: Annotated[tuple[Role, ...], Field(strict=False)] = ()


class Config(StrictModel):
    """The whole file. Every model is evaluated on every dataset."""

    models: Annotated[tuple[ModelConfig, ...], Field(strict=False, min_length=1, max_length=MAX_MODELS)]
    datasets: Annotated[tuple[DatasetConfig, ...], Field(strict=False, min_length=1, max_length=MAX_DATASETS)]
    research: ResearchConfig | None = None
    schedule: ScheduleConfig = _as_if_written({"interval": "1h"})
    watch: WatchConfig = WatchConfig()
    baseline: ConfigPath | None = None
    paths: PathsConfig = _as_if_written({})
    limits: LimitsConfig = LimitsConfig()
    latency: LatencyConfig = LatencyConfig()
    history: HistoryConfig = HistoryConfig()
    evidence: EvidenceConfig = EvidenceConfig()
    analyses: AnalysesConfig = AnalysesConfig()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        _unique("models", [model.name for model in self.models])
        _unique("datasets", [dataset.name for dataset in self.datasets])
        written = {name: getattr(self.paths, name) for name in ("data", "results", "cache", "documents")}
        for key, folder in written.items():
            for index, dataset in enumerate(self.datasets):
                # Every result written there would count as a change of the dataset, without end.
                if folder is not None and folder.is_relative_to(dataset.path):
                    raise ValueError(f"paths.{key}: {folder} lies inside datasets[{index}].path {dataset.path}")
        return self

    def model(self, name: str) -> ModelConfig | None:
        """The model of that name."""
        return next((model for model in self.models if model.name == name), None)

    def dataset(self, name: str) -> DatasetConfig | None:
        """The dataset of that name."""
        return next((dataset for dataset in self.datasets if dataset.name == name), None)

    def documents(self) -> Path:
        """Where the documents of the analyses are written."""
        return self.paths.documents or self.paths.results / "documents"

    def cache(self) -> CacheSettings | None:
        """Where decoded images are kept, None where none are."""
        folder = self.paths.cache or self.paths.data / "cache"
        return CacheSettings(folder, self.limits.cache_bytes) if self.limits.cache_bytes else None


def _unique(section: str, names: Sequence[str]) -> None:
    for index, name in enumerate(names):
        first = names.index(name)
        if first != index:
            raise ValueError(f"{section}[{index}].name: {name!r} is the name of {section}[{first}] already")


def load_config(path: Path) -> Config:
    """The configuration in this file, complete and checked; ConfigError with one line otherwise.

    Models, datasets and the baseline need not exist: a file that is missing now may come later.
    """
    return load_strict(path, Config, {"folder": path.parent.absolute()})
