"""Generate `docs/configuration.md` from the configuration schema."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import NoneType, UnionType
from typing import Annotated, Any, Final, Literal, Union, get_args, get_origin

from annotated_types import Ge, Le, MaxLen, MinLen
from pydantic import AfterValidator, BaseModel
from pydantic.fields import FieldInfo

from starlight_exporter.config import Config, ConfigPath, DatasetPath, Duration, DurationRange, Name, Size
from starlight_exporter.durations import format_duration

_INTRO: Final = """# Configuration

Generated from `config.py`; a test fails when the two differ. [config/starlight.yml](../config/starlight.yml) is an
example, and read by default. `starlight-exporter --config.file=FILE --config.check` validates a file. Unknown keys,
duplicate keys and values out of bounds are errors that name the file, the key and what is expected.

Relative paths are relative to the folder of the configuration file. A duration is written as in Prometheus (`30s`,
`1h30m`); a size is a number of bytes, or has the unit `KiB`, `MiB` or `GiB`. SIGHUP and `POST /-/reload` load the file
again, with `--config.watch` every change does; an invalid file leaves the active configuration unchanged.

| key | type | default | bounds | example | meaning |
|---|---|---|---|---|---|
"""

MEANINGS: Final[Mapping[str, tuple[str, str]]] = {
    "models": ("", "models to evaluate, each on every dataset"),
    "models[].name": ("production", "label value on metrics and pages"),
    "models[].file": ("../models/production/model.onnx", "ONNX file; replaced files are detected by their contents"),
    "models[].role": (
        "production",
        "`production`: alerts; `baseline`: compared with; `research`: measured only",
    ),
    "models[].decision": ("{threshold: 0.5}", "decision rule: either `threshold` (by default 0.5) or `thresholds`"),
    "models[].decision.threshold": ("0.5", "one stego probability for all images"),
    "models[].decision.thresholds": (
        "{alpha: 0.7, palette: 0.98, lsb: 0.95, exif: 0.5, eoi: 0.65}",
        "one stego probability per predicted method",
    ),
    "models[].decision.thresholds.alpha": ("0.7", "threshold for images with this predicted method"),
    "models[].decision.thresholds.palette": ("0.98", "threshold for images with this predicted method"),
    "models[].decision.thresholds.lsb": ("0.95", "threshold for images with this predicted method"),
    "models[].decision.thresholds.exif": ("0.5", "threshold for images with this predicted method"),
    "models[].decision.thresholds.eoi": ("0.65", "threshold for images with this predicted method"),
    "models[].training_log": (
        "../models/v4/training_log.jsonl",
        "losses per epoch; by default the log next to the model",
    ),
    "models[].providers": (
        "[{name: CUDAExecutionProvider}]",
        "execution providers in order of preference, by default the CPU; see [detector.md](detector.md)",
    ),
    "models[].providers[].name": ("CUDAExecutionProvider", "name in ONNX Runtime; a missing provider is an error"),
    "models[].providers[].options": ("{device_id: 1}", "options of the provider, passed to ONNX Runtime as text"),
    "datasets": ("", "datasets to evaluate every model on"),
    "datasets[].name": ("reference", "label value on metrics and pages"),
    "datasets[].path": (
        "../datasets/reference",
        "folder with `clean/`, `stego/` and `negatives/` or another layout, of tar or Parquet shards, or URL of either "
        "([datasets.md](datasets.md)); of an unlabelled dataset any folder or prefix",
    ),
    "datasets[].alerts": (
        "true",
        "whether failed checks on this dataset alert and colour the status page; if not, labelled images are evaluated "
        "again only after a change",
    ),
    "datasets[].labelled": (
        "false",
        "`false`: every image below the folder is evaluated without a label; alarm rate and drift instead of checks",
    ),
    "datasets[].drift_reference": (
        "reference",
        "labelled dataset whose clean images those of an unlabelled dataset are compared with",
    ),
    "datasets[].window": ("{images: 1000}", "evaluated files of an unlabelled dataset: either `images` or `age`"),
    "datasets[].window.images": ("1000", "the newest files, by modification time"),
    "datasets[].window.age": ("7d", "files that were modified since, by the system clock"),
    "research": ("{models_dir: ../models}", "research models that are found in a folder"),
    "research.models_dir": (
        "../models",
        "folder; each subfolder with a `card.yml` or `model.onnx` is a research model",
    ),
    "research.decision": ("{threshold: 0.5}", "decision rule of all research models, by default `threshold: 0.5`"),
    "research.decision.threshold": ("0.5", "as for `models`"),
    "research.decision.thresholds": (
        "{alpha: 0.7, palette: 0.98, lsb: 0.95, exif: 0.5, eoi: 0.65}",
        "as for `models`",
    ),
    "research.decision.thresholds.alpha": ("0.7", "as for `models`"),
    "research.decision.thresholds.palette": ("0.98", "as for `models`"),
    "research.decision.thresholds.lsb": ("0.95", "as for `models`"),
    "research.decision.thresholds.exif": ("0.5", "as for `models`"),
    "research.decision.thresholds.eoi": ("0.65", "as for `models`"),
    "research.providers": ("[{name: CUDAExecutionProvider}]", "as for `models`"),
    "research.providers[].name": ("CUDAExecutionProvider", "as for `models`"),
    "research.providers[].options": ("{device_id: 1}", "as for `models`"),
    "schedule": (
        "{interval: 15m}",
        "when models are evaluated again on datasets with alerts: either `interval` (by default 1h) or `cron`",
    ),
    "schedule.interval": ("15m", "time between evaluations"),
    "schedule.cron": ('"0 3 * * *"', "five fields with the semantics of crontab, in UTC"),
    "watch": ("{interval: 2s}", "detection of changed files"),
    "watch.interval": ("2s", "time between file checks; remote datasets are listed at most every 30 intervals"),
    "watch.settle": ("3s", "time that a changed file must stay unmodified before it is used"),
    "baseline": (
        "../tests/regression_baselines.json",
        "recorded baseline, used where the model with role `baseline` has no result",
    ),
    "checks": ("{fpr_target: 0.001}", "limits of the regression checks, see [checks.md](checks.md)"),
    "checks.fpr_baseline": ("1.1", "false positive rate, as a factor of the baseline"),
    "checks.fpr_stability": ("0.0002", "increase of the false positive rate over the baseline"),
    "checks.fpr_target": ("0.0005", "false positive rate"),
    "checks.detection_baseline": ("0.95", "detection rate of a method, as a factor of the baseline"),
    "checks.detection_floor": ("0.95", "detection rate of a method"),
    "checks.detection_target": ("0.99", "detection rate of a method"),
    "checks.latency_baseline": ("1.2", "p95, as a factor of the baseline model in the same run"),
    "checks.latency_limit": ("5ms", "p95 from file to verdict"),
    "checks.format_consistency": ("0.0002", "increase of the false positive rate of an image format over the baseline"),
    "checks.format_default": ("0.001", "baseline of image formats that the baseline does not contain"),
    "checks.negatives": ("0.005", "false positive rate of a category of hard negatives"),
    "checks.disabled": ("[latency_limit]", "checks that do not run"),
    "checks.informational": ("[detection_target]", "checks that have results but do not alert"),
    "paths": ("{data: ../data}", "folders"),
    "paths.data": ("../data", "history"),
    "paths.results": ("../results", "evidence"),
    "paths.cache": ("../data/cache", "decoded images; by default `cache` in `paths.data`"),
    "paths.documents": ("../results/documents", "reports of the analyses; by default `documents` in `paths.results`"),
    "paths.runbooks": ("../alerting/runbooks", "runbooks to serve; by default those of this version"),
    "limits": ("{threads: 2}", "limits for one evaluation"),
    "limits.threads": ("2", "threads; by default one per available core"),
    "limits.evaluation_timeout": ("1h", "an evaluation that takes longer is terminated"),
    "limits.image_timeout": ("30s", "an image that takes longer is not measured"),
    "limits.max_image_pixels": ("16777216", "an image with more pixels is not measured"),
    "limits.max_file_bytes": ("256MiB", "a larger image file is not measured"),
    "limits.worker_memory": (
        "1536MiB",
        "a worker process that uses more memory is ended, and the file that caused it is not measured",
    ),
    "limits.cache_bytes": ("4GiB", "disk space for decoded images of all datasets; 0 disables the cache"),
    "engine": ("{kind: dask, scheduler: tcp://scheduler:8786}", "what runs evaluations, see [scale.md](scale.md)"),
    "engine.kind": (
        "dask",
        "`local`: threads of a worker process on this host; `dask`: the workers of a Dask scheduler",
    ),
    "engine.scheduler": ("tls://scheduler:8786", "address of the scheduler, with `tcp://` or `tls://` and the port"),
    "engine.tls": (
        "{ca: ca.pem, certificate: driver.pem, key: driver.key}",
        "PEM files for a `tls://` scheduler; by default those of Dask's own configuration",
    ),
    "engine.tls.ca": ("ca.pem", "certificate authority of scheduler and workers"),
    "engine.tls.certificate": ("driver.pem", "certificate of the exporter"),
    "engine.tls.key": ("driver.key", "private key of the exporter"),
    "latency": ("{sample: 1000}", "latency run, separate from the evaluation of all images"),
    "latency.sample": (
        "1000",
        "number of images to time, and of timings per model with a baseline model; 0 disables the latency run",
    ),
    "latency.seed": ("0", "selects the images and the order of the models"),
    "history": ("{keep: 4}", "retention of results in `history.jsonl`"),
    "history.max_bytes": ("64MiB", "size at which the file is rotated"),
    "history.keep": ("4", "rotated files to keep, of `history.max_bytes` each; more if they are smaller"),
    "history.compact_after": (
        "90d",
        "age from which only the first evaluation of a day and the first after each change are kept, see"
        " [production.md](production.md#retention); by default all are kept",
    ),
    "evidence": ("{keep: 50}", "retention of predictions and thumbnails"),
    "evidence.keep": ("50", "evaluations per model and dataset"),
    "evidence.max_bytes": ("2GiB", "disk space in total"),
    "analyses": (
        "{interval: 1d}",
        "comparison, variants and regression report after a change",
    ),
    "analyses.interval": ("1d", "maximum time between analyses"),
    "analyses.ablate": ("[production]", "roles of the models whose streams are ablated"),
    "analyses.comparison": (
        "{before: v3, after: v4}",
        "models of the comparison report; by default the baseline and the production models",
    ),
    "analyses.comparison.before": ("v3", "name of the earlier model"),
    "analyses.comparison.after": ("v4", "name of the later model"),
}
"""Key → example (YAML) and meaning."""


@dataclass(frozen=True, slots=True)
class Key:
    """One key of the configuration file, with its field in the schema."""

    name: str
    field: FieldInfo


def keys(model: type[BaseModel] = Config, prefix: str = "") -> Iterator[Key]:
    """Yield all keys in the order of the schema; `[]` stands for the entries of a list."""
    for name, field in model.model_fields.items():
        yield Key(f"{prefix}{name}", field)
        section, is_list = _section(field.annotation)
        if section is not None:
            yield from keys(section, f"{prefix}{name}{'[]' if is_list else ''}.")


def configuration_reference() -> str:
    """Return the text of `docs/configuration.md`. Raises KeyError for a key without meaning."""
    return _INTRO + "".join(_row(key) for key in keys())


def _row(key: Key) -> str:
    example, meaning = MEANINGS[key.name]
    annotation, metadata = _unwrapped(key.field)
    cells = (
        f"`{key.name}`",
        _type(annotation, metadata),
        _default(key.field, metadata),
        _bounds(metadata),
        f"`{example}`" if example else "",
        meaning,
    )
    return f"| {' | '.join(cells)} |\n"


def _unwrapped(field: FieldInfo) -> tuple[Any, tuple[Any, ...]]:
    """Return the annotation without None and `Annotated`, and its metadata."""
    annotation, metadata = field.annotation, tuple(field.metadata)
    if NoneType in get_args(annotation) and get_origin(annotation) in (Union, UnionType):
        (annotation,) = (one for one in get_args(annotation) if one is not NoneType)
    while get_origin(annotation) is Annotated:
        annotation, *more = get_args(annotation)
        for one in more:
            metadata += tuple(one.metadata) if isinstance(one, FieldInfo) else (one,)
    return annotation, metadata


def _section(annotation: Any) -> tuple[type[BaseModel] | None, bool]:
    """Return the schema of a section or of the entries of a list, and whether it is a list."""
    for one in (annotation, *get_args(annotation)):
        if isinstance(one, type) and issubclass(one, BaseModel):
            return one, get_origin(annotation) is tuple
    return None, False


def _alias(metadata: tuple[Any, ...]) -> str | None:
    """Return the name of a type that is defined by its validator."""
    aliases = {"duration": Duration, "size": Size, "path": ConfigPath, "path or URL": DatasetPath, "name": Name}
    return next((name for name, alias in aliases.items() if get_args(alias)[1] in metadata), None)


def _type(annotation: Any, metadata: tuple[Any, ...]) -> str:
    if alias := _alias(metadata):
        return alias
    section, is_list = _section(annotation)
    if section is not None:
        return "list of sections" if is_list else "section"
    if get_origin(annotation) is Mapping:
        return "mapping"
    if get_origin(annotation) is tuple:
        return f"list of: {_type(get_args(annotation)[0], ())}"
    if get_origin(annotation) is Literal:
        return " or ".join(f"`{value}`" for value in get_args(annotation))
    return {bool: "boolean", float: "number", int: "integer", str: "string"}[annotation]


def _default(field: FieldInfo, metadata: tuple[Any, ...]) -> str:
    if field.is_required():
        return "required"
    value = field.default
    of_sections = isinstance(value, tuple) and any(isinstance(one, BaseModel) for one in value)
    if value is None or of_sections or field.default_factory is not None or isinstance(value, (BaseModel, dict)):
        return ""
    if _alias(metadata) == "duration":
        return f"`{format_duration(value)}`"
    if _alias(metadata) == "size":
        return f"`{_size(value)}`"
    return f"`{list(value) if isinstance(value, tuple) else value}`"


def _bounds(metadata: tuple[Any, ...]) -> str:
    is_size = _alias(metadata) == "size"
    bounds = []
    for one in metadata:
        if isinstance(one, AfterValidator) and isinstance(one.func, DurationRange):
            bounds += [f"≥ {one.func.low}", f"≤ {one.func.high}"]
        elif isinstance(one, Ge | Le):
            value = one.ge if isinstance(one, Ge) else one.le
            bounds.append(f"{'≥' if isinstance(one, Ge) else '≤'} {_size(value) if is_size else f'{value:,}'}")
        elif isinstance(one, MinLen):
            bounds.append(f"≥ {one.min_length} entries")
        elif isinstance(one, MaxLen):
            bounds.append(f"≤ {one.max_length} entries")
    return ", ".join(bounds)


def _size(value: Any) -> str:
    for unit, factor in (("TiB", 1024**4), ("GiB", 1024**3), ("MiB", 1024**2), ("KiB", 1024)):
        if value and value % factor == 0:
            return f"{value // factor:,}{unit}"
    return f"{value:,}"
