"""Configuration file: schema, defaults and validation. `config/starlight.yml` is an example.

Relative paths are resolved against the folder of the configuration file. All problems are raised as ConfigError, which
names the file, the key and the expected value.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Self

from cronsim import CronSim, CronSimError
from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, field_validator, model_validator

from starlight_exporter.asset_files import runbooks_folder
from starlight_exporter.checks.limits import DEFAULT_LIMITS, CheckLimits, CheckName
from starlight_exporter.dataset.cache_settings import DEFAULT_CACHE_BYTES, CacheSettings
from starlight_exporter.dataset.sources.root import DatasetRoot, RemoteRoot, parse_root
from starlight_exporter.dataset.window import Window
from starlight_exporter.detector.contract import DEFAULT_MAX_FILE_BYTES, DEFAULT_MAX_PIXELS, METHODS
from starlight_exporter.detector.decision import PLAIN_THRESHOLD, DecisionRule
from starlight_exporter.detector.providers import (
    CPU_PROVIDER,
    PROVIDER_NAME,
    ExecutionProvider,
    Providers,
    duplicate_provider,
)
from starlight_exporter.durations import format_duration, parse_duration
from starlight_exporter.evaluation.engines.settings import (
    EXPECTED_ADDRESS,
    EngineKind,
    EngineSettings,
    TlsFiles,
    is_address,
)
from starlight_exporter.evaluation.request import (
    DEFAULT_IMAGE_SECONDS,
    DEFAULT_WORKER_MEMORY,
    RunLimits,
    decode_budget,
)
from starlight_exporter.models.roles import Role
from starlight_exporter.strict_yaml import StrictModel, load_strict, shown

MAX_MODELS = 20
MAX_DATASETS = 20
"""Bounds for label values: each model on each dataset has a few hundred series."""

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")
_SIZE = re.compile(r"(\d{1,15})(KiB|MiB|GiB)", re.ASCII)
_SIZE_UNITS = {"KiB": 1024, "MiB": 1024**2, "GiB": 1024**3}


def _seconds(value: object) -> float:
    try:
        return parse_duration(value if isinstance(value, str) else "")
    except ValueError as error:
        raise ValueError(f"{error}; got {shown(value)}") from error


@dataclass(frozen=True, slots=True)
class DurationRange:
    """Validator of a duration: both bounds are included."""

    low: str
    high: str

    def __call__(self, seconds: float) -> float:
        """Return the duration. Raises ValueError if it is out of range."""
        if not parse_duration(self.low) <= seconds <= parse_duration(self.high):
            raise ValueError(f"expected a duration from {self.low} to {self.high}; got {format_duration(seconds)}")
        return seconds


def _between(low: str, high: str) -> AfterValidator:
    return AfterValidator(DurationRange(low, high))


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


def _provider_name(value: str) -> str:
    if not PROVIDER_NAME.fullmatch(value):
        raise ValueError(f"expected an execution provider such as CUDAExecutionProvider; got {shown(value)}")
    return value


def _option(value: object) -> str:
    if isinstance(value, str | bool | int | float):
        return str(value)
    raise ValueError(f"expected a string, a number, true or false; got {shown(value)}")


def _no_duplicates(providers: tuple[ProviderConfig, ...]) -> tuple[ProviderConfig, ...]:
    if name := duplicate_provider([provider.provider() for provider in providers]):
        raise ValueError(f"duplicate provider {name}")
    return providers


def _path(value: object, info: ValidationInfo) -> Path:
    if not isinstance(value, str) or not value or "\0" in value:
        raise ValueError(f"expected a path; got {shown(value)}")
    # Symlinks are not resolved, because their targets may change later.
    return Path(os.path.normpath((info.context or {}).get("folder", Path()) / value))


def _dataset_path(value: object, info: ValidationInfo) -> DatasetRoot:
    if not isinstance(value, str) or "://" not in value:
        return _path(value, info)
    try:
        return parse_root(value)
    except ValueError as error:
        # Without the value, which may contain a password.
        raise ValueError(str(error)) from error


def _validated_default(value: object) -> Any:
    # Relative paths and durations need validation, also as defaults.
    return Field(default=value, validate_default=True)


def _check_cron(expression: str) -> None:
    expected = f'expected five cron fields such as "0 3 * * *"; got {shown(expression)}'
    now, fields = datetime.now(UTC), expression.split()
    if len(fields) != 5:
        # CronSim would accept a sixth field, for seconds.
        raise ValueError(f"{expected} (Wrong number of fields)")
    try:
        for position, field in enumerate(fields):
            CronSim(" ".join(field if other == position else "*" for other in range(5)), now)
    except CronSimError as error:
        raise ValueError(f"{expected} ({error})") from error
    try:
        next(CronSim(expression, now))
    except (CronSimError, StopIteration) as error:
        # CronSim rejects a day that is in none of the months, such as 31 February.
        raise ValueError(f"cron expression never fires: {shown(expression)}") from error


Duration = Annotated[float, BeforeValidator(_seconds)]
"""Seconds, written as a Prometheus duration such as `1h30m`."""
Size = Annotated[int, BeforeValidator(_bytes)]
"""Bytes."""
Name = Annotated[str, AfterValidator(_name)]
ConfigPath = Annotated[Path, BeforeValidator(_path)]
DatasetPath = Annotated[Path | RemoteRoot, BeforeValidator(_dataset_path)]
"""Path of a folder, or URL."""
Probability = Annotated[float, Field(ge=0, le=1)]
Factor = Annotated[float, Field(ge=1, le=1000)]


class MethodThresholds(StrictModel):
    """One threshold per predicted method."""

    alpha: Probability
    palette: Probability
    lsb: Probability
    exif: Probability
    eoi: Probability


class DecisionConfig(StrictModel):
    """Either one threshold for all images or one threshold per predicted method."""

    threshold: Probability | None = None
    thresholds: MethodThresholds | None = None

    @model_validator(mode="after")
    def _either(self) -> Self:
        if (self.threshold is None) == (self.thresholds is None):
            raise ValueError("expected either threshold or thresholds")
        return self

    def rule(self) -> DecisionRule:
        """Return the decision rule."""
        if self.thresholds is not None:
            return DecisionRule.per_method({method: getattr(self.thresholds, method) for method in METHODS})
        return DecisionRule.single(PLAIN_THRESHOLD if self.threshold is None else self.threshold)


class ProviderConfig(StrictModel):
    """Execution provider of ONNX Runtime and its options."""

    name: Annotated[str, AfterValidator(_provider_name)]
    options: Mapping[str, Annotated[str, BeforeValidator(_option)]] = Field(default_factory=dict)

    def provider(self) -> ExecutionProvider:
        """Return the provider."""
        return ExecutionProvider.with_options(self.name, self.options)


ProvidersConfig = Annotated[
    tuple[ProviderConfig, ...], Field(strict=False, min_length=1, max_length=8), AfterValidator(_no_duplicates)
]


class ModelConfig(StrictModel):
    """Model file, decision rule, role and execution providers. The same file may be configured again with others."""

    name: Name
    file: ConfigPath
    role: Role
    decision: DecisionConfig = DecisionConfig(threshold=PLAIN_THRESHOLD)
    training_log: ConfigPath | None = None
    providers: ProvidersConfig = (ProviderConfig(name=CPU_PROVIDER),)

    def execution_providers(self) -> Providers:
        """Return the execution providers."""
        return tuple(provider.provider() for provider in self.providers)


class ResearchConfig(StrictModel):
    """Folder of research models: each subfolder with a `card.yml` or `model.onnx` is one.

    All have the same decision rule and execution providers.

    Models that are configured by name or file are skipped. Cards, training logs and training file manifests in this
    folder also apply to configured models with identical files that have none of their own.
    """

    models_dir: ConfigPath
    decision: DecisionConfig = DecisionConfig(threshold=PLAIN_THRESHOLD)
    providers: ProvidersConfig = (ProviderConfig(name=CPU_PROVIDER),)


class WindowConfig(StrictModel):
    """Window of an unlabelled dataset, by modification time: the newest `images` files, or those of the last `age`."""

    images: Annotated[int, Field(ge=1, le=10_000_000)] | None = None
    age: Annotated[Duration, _between("1m", "366d")] | None = None

    @model_validator(mode="after")
    def _either(self) -> Self:
        if (self.images is None) == (self.age is None):
            raise ValueError("expected either images or age")
        return self

    def window(self) -> Window:
        """Return the window."""
        return Window(self.images, self.age)


class DatasetConfig(StrictModel):
    """Folder with the subfolders clean/, stego/ and negatives/ or another layout, folder of shards, or URL of either.

    An unlabelled dataset is any folder of images, or any prefix of an object store.

    With `alerts: false`, failed checks on this dataset neither alert nor colour the status page, and labelled images
    are evaluated only after a change, behind others. `drift_reference` names the labelled dataset with whose clean
    images an unlabelled one is compared.
    """

    name: Name
    path: DatasetPath
    alerts: bool = True
    labelled: bool = True
    drift_reference: Name | None = None
    window: WindowConfig | None = None

    @model_validator(mode="after")
    def _only_unlabelled(self) -> Self:
        for key in ("drift_reference", "window"):
            if self.labelled and getattr(self, key) is not None:
                raise ValueError(f"{key}: requires `labelled: false`")
        return self


class ScheduleConfig(StrictModel):
    """Evaluation schedule: every `interval`, or by a `cron` expression (five fields, UTC)."""

    interval: Annotated[Duration, _between("10s", "366d")] | None = None
    cron: str | None = None

    @model_validator(mode="after")
    def _either(self) -> Self:
        if (self.interval is None) == (self.cron is None):
            raise ValueError("expected either interval or cron")
        return self

    @field_validator("cron")
    @classmethod
    def _valid_cron(cls, value: str | None) -> str | None:
        if value is not None:
            _check_cron(value)
        return value


class WatchConfig(StrictModel):
    """Interval between file checks, and the time that a changed file must stay unmodified before it is used."""

    interval: Annotated[Duration, _between("100ms", "1h")] = 2.0
    settle: Annotated[Duration, _between("0s", "1h")] = 3.0


class PathsConfig(StrictModel):
    """Folders: `data` for the history, `results` for evidence, and `runbooks` for the runbooks that are served.

    `cache` holds decoded images (default: `<data>/cache`), `documents` the reports of the analyses (default:
    `<results>/documents`). By default, the runbooks of this version are served.
    """

    data: ConfigPath = _validated_default("data")
    results: ConfigPath = _validated_default("results")
    cache: ConfigPath | None = None
    documents: ConfigPath | None = None
    runbooks: ConfigPath | None = None


class LimitsConfig(StrictModel):
    """Limits for one evaluation; `threads` defaults to the number of available cores.

    A worker process that uses more than `worker_memory` is ended, and a file that takes longer than `image_timeout` is
    not measured. Models that exceed these limits are quarantined.
    `cache_bytes` limits the disk space of decoded images for all datasets; 0 disables the cache.
    """

    threads: Annotated[int, Field(ge=1, le=256)] | None = None
    evaluation_timeout: Annotated[Duration, _between("1s", "7d")] = 3600.0
    image_timeout: Annotated[Duration, _between("100ms", "1h")] = DEFAULT_IMAGE_SECONDS
    max_image_pixels: Annotated[int, Field(ge=1, le=2**31)] = DEFAULT_MAX_PIXELS
    max_file_bytes: Annotated[Size, Field(ge=1, le=2**40)] = DEFAULT_MAX_FILE_BYTES
    worker_memory: Annotated[Size, Field(ge=256 * 1024**2, le=2**44)] = DEFAULT_WORKER_MEMORY
    cache_bytes: Annotated[Size, Field(ge=0, le=2**50)] = DEFAULT_CACHE_BYTES

    def of_image(self) -> RunLimits:
        """Return the limits per image."""
        return RunLimits(
            image_seconds=self.image_timeout,
            max_file_bytes=self.max_file_bytes,
            max_pixels=self.max_image_pixels,
            decode_bytes=decode_budget(self.worker_memory),
        )


class LatencyConfig(StrictModel):
    """Images in the latency sample, and the seed that selects them and the order of the models.

    With a baseline model, `sample` is the number of timings per model: images are repeated if there are fewer.
    """

    sample: Annotated[int, Field(ge=0, le=1_000_000)] = 1000
    seed: Annotated[int, Field(ge=0, le=2**32 - 1)] = 0


class HistoryConfig(StrictModel):
    """Size at which history.jsonl is rotated, and how many times this size rotated files may have in total.

    With `compact_after`, older days keep one evaluation of each model and dataset, and those that follow a change.
    """

    max_bytes: Annotated[Size, Field(ge=64 * 1024, le=2**40)] = 64 * 1024 * 1024
    keep: Annotated[int, Field(ge=0, le=1000)] = 4
    compact_after: Annotated[Duration, _between("1d", "3660d")] | None = None


class EvidenceConfig(StrictModel):
    """Retention of predictions and thumbnails: evaluations per model and dataset, and bytes in total."""

    keep: Annotated[int, Field(ge=1, le=10_000)] = 50
    max_bytes: Annotated[Size, Field(ge=1024 * 1024, le=2**44)] = 2 * 1024**3


class ChecksConfig(StrictModel):
    """Limits of the regression checks, by check: ratios and factors of the baseline, and a duration for latency.

    `format_default` is the baseline of image formats that the baseline does not contain. Checks in `disabled` do not
    run; those in `informational` never alert.
    """

    fpr_baseline: Factor = DEFAULT_LIMITS.fpr_baseline
    fpr_stability: Probability = DEFAULT_LIMITS.fpr_stability
    fpr_target: Probability = DEFAULT_LIMITS.fpr_target
    detection_baseline: Probability = DEFAULT_LIMITS.detection_baseline
    detection_floor: Probability = DEFAULT_LIMITS.detection_floor
    detection_target: Probability = DEFAULT_LIMITS.detection_target
    latency_baseline: Factor = DEFAULT_LIMITS.latency_baseline
    latency_limit: Annotated[Duration, _between("1ms", "1h")] = DEFAULT_LIMITS.latency_limit
    format_consistency: Probability = DEFAULT_LIMITS.format_consistency
    format_default: Probability = DEFAULT_LIMITS.format_default
    negatives: Probability = DEFAULT_LIMITS.negatives
    disabled: Annotated[tuple[CheckName, ...], Field(strict=False)] = ()
    informational: Annotated[tuple[CheckName, ...], Field(strict=False)] = tuple(sorted(DEFAULT_LIMITS.informational))

    def limits(self) -> CheckLimits:
        """Return the limits."""
        values: dict[str, Any] = self.model_dump()
        values |= {key: frozenset(values[key]) for key in ("disabled", "informational")}
        return CheckLimits(**values)


class EngineTlsConfig(StrictModel):
    """PEM files for mutual TLS with the scheduler and the workers of a cluster."""

    ca: ConfigPath
    certificate: ConfigPath
    key: ConfigPath


class EngineConfig(StrictModel):
    """What runs evaluations: threads of a worker process on this host, or the workers of a Dask scheduler."""

    kind: EngineKind = "local"
    scheduler: str | None = None
    tls: EngineTlsConfig | None = None

    @model_validator(mode="after")
    def _complete(self) -> Self:
        if self.kind == "local":
            for key in ("scheduler", "tls"):
                if getattr(self, key) is not None:
                    raise ValueError(f"{key}: requires `kind: dask`")
        elif self.scheduler is None or not is_address(self.scheduler):
            raise ValueError(f"scheduler: expected {EXPECTED_ADDRESS}; got {shown(self.scheduler)}")
        elif self.tls is not None and not self.scheduler.startswith("tls://"):
            raise ValueError("tls: requires a scheduler with tls://")
        return self

    def settings(self) -> EngineSettings:
        """Return the settings of the engine."""
        tls = None if self.tls is None else TlsFiles(self.tls.ca, self.tls.certificate, self.tls.key)
        return EngineSettings(self.kind, self.scheduler, tls)


class ComparisonConfig(StrictModel):
    """The two models of the scheduled comparison report, by name."""

    before: Name
    after: Name


class AnalysesConfig(StrictModel):
    """Analyses that run after a model or dataset change and every `interval`, when no evaluation is queued.

    Comparison, variants and regression report are always written; `ablate` lists the roles of the models to ablate.
    The comparison is that of the baseline with the production models, unless `comparison` names two others.
    """

    interval: Annotated[Duration, _between("1m", "366d")] = 86_400.0
    ablate: Annotated[tuple[Role, ...], Field(strict=False)] = ()
    comparison: ComparisonConfig | None = None


class Config(StrictModel):
    """Root of the configuration file. Every model is evaluated on every dataset."""

    models: Annotated[tuple[ModelConfig, ...], Field(strict=False, min_length=1, max_length=MAX_MODELS)]
    datasets: Annotated[tuple[DatasetConfig, ...], Field(strict=False, min_length=1, max_length=MAX_DATASETS)]
    research: ResearchConfig | None = None
    schedule: ScheduleConfig = _validated_default({"interval": "1h"})
    watch: WatchConfig = WatchConfig()
    baseline: ConfigPath | None = None
    checks: ChecksConfig = ChecksConfig()
    paths: PathsConfig = _validated_default({})
    limits: LimitsConfig = LimitsConfig()
    engine: EngineConfig = EngineConfig()
    latency: LatencyConfig = LatencyConfig()
    history: HistoryConfig = HistoryConfig()
    evidence: EvidenceConfig = EvidenceConfig()
    analyses: AnalysesConfig = AnalysesConfig()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        _unique("models", [model.name for model in self.models])
        _unique("datasets", [dataset.name for dataset in self.datasets])
        if sum(model.role == "baseline" for model in self.models) > 1:
            raise ValueError("models: expected at most one model with role baseline")
        _labelled_references(self.datasets)
        folders = {name: getattr(self.paths, name) for name in ("data", "results", "cache", "documents")}
        for key, folder in folders.items():
            for index, dataset in enumerate(self.datasets):
                # Each written result would count as a dataset change and trigger the next evaluation.
                if folder is not None and isinstance(dataset.path, Path) and folder.is_relative_to(dataset.path):
                    raise ValueError(f"paths.{key}: {folder} is inside datasets[{index}].path {dataset.path}")
        return self

    def model(self, name: str) -> ModelConfig | None:
        """Return the model of that name, or None."""
        return next((model for model in self.models if model.name == name), None)

    def dataset(self, name: str) -> DatasetConfig | None:
        """Return the dataset of that name, or None."""
        return next((dataset for dataset in self.datasets if dataset.name == name), None)

    def documents(self) -> Path:
        """Return the folder for the reports of the analyses."""
        return self.paths.documents or self.paths.results / "documents"

    def runbooks(self) -> Path:
        """Return the folder of the runbooks."""
        return self.paths.runbooks or runbooks_folder()

    def cache(self) -> CacheSettings | None:
        """Return the cache settings; None if the cache is disabled."""
        folder = self.paths.cache or self.paths.data / "cache"
        return CacheSettings(folder, self.limits.cache_bytes) if self.limits.cache_bytes else None


def _unique(section: str, names: Sequence[str]) -> None:
    for index, name in enumerate(names):
        first = names.index(name)
        if first != index:
            raise ValueError(f"{section}[{index}].name: duplicate name {name!r} (also {section}[{first}])")


def _labelled_references(datasets: Sequence[DatasetConfig]) -> None:
    labelled = [dataset.name for dataset in datasets if dataset.labelled]
    for index, dataset in enumerate(datasets):
        if dataset.drift_reference is not None and dataset.drift_reference not in labelled:
            raise ValueError(
                f"datasets[{index}].drift_reference: expected the name of a labelled dataset"
                f" ({', '.join(labelled) or 'there is none'}); got {shown(dataset.drift_reference)}"
            )


def load_config(path: Path) -> Config:
    """Read and validate a configuration file. Raises ConfigError with a one-line message.

    Models, datasets and the baseline need not exist yet.
    """
    return load_strict(path, Config, {"folder": path.parent.absolute()})
