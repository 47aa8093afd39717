"""Baseline files: results of an earlier detector, in percent and milliseconds.

    {"fpr": 0.32,
     "detection_rates": {"lsb": 98.1, "alpha": 99.2, "palette": 97.9, "exif": 99.8, "eoi": 99.5},
     "performance": {"p50_ms": 2.1, "p95_ms": 3.4, "p99_ms": 4.4, "throughput_imgs_per_sec": 410},
     "fpr_by_format": {"jpeg": 0.1, "png": 0.5, "gif": 0.3, "webp": 0.2, "bmp": 0.2}}

Values that are omitted or null are not checked, except that the rate of a format has a default in `limits.py`. Further
top-level keys (provenance, counts) are ignored.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from decimal import Decimal, InvalidOperation
from pathlib import Path
from types import MappingProxyType

from starlight_exporter.detector.contract import FORMATS, METHODS, ImageFormat, Method
from starlight_exporter.errors import BaselineError
from starlight_exporter.evaluation.request import available_cores
from starlight_exporter.evaluation.results import Evaluation
from starlight_exporter.formatting import iso
from starlight_exporter.statistics.intervals import Proportion

QUANTILE_KEYS: Mapping[str, float] = MappingProxyType({"p50_ms": 0.5, "p95_ms": 0.95, "p99_ms": 0.99})
THROUGHPUT_KEY = "throughput_imgs_per_sec"


@dataclass(frozen=True, slots=True)
class Baseline:
    """Content of a baseline file in ratios 0..1 and seconds; an omitted value is None or has no entry.

    Percent and milliseconds are converted in decimal, so that 0.05 in the file is exactly 0.0005 here.
    """

    false_positive_ratio: float | None = None
    detection_ratios: Mapping[Method, float] = field(default_factory=dict)
    latency_seconds: Mapping[float, float] = field(default_factory=dict)
    throughput: float | None = None
    false_positive_ratio_by_format: Mapping[ImageFormat, float] = field(default_factory=dict)


def read_baseline(path: Path) -> Baseline:
    """Read and validate a baseline file. Raise BaselineError, which names the file and the key."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise BaselineError(f"{path}: no such baseline file") from error
    except OSError as error:
        raise BaselineError(f"{path}: cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise BaselineError(f"{path}: not UTF-8 text") from error
    try:
        content = json.loads(text, parse_float=Decimal, parse_int=Decimal, parse_constant=Decimal)
    except (ValueError, RecursionError, InvalidOperation) as error:
        raise BaselineError(f"{path}: not JSON: {error}") from error
    return _File(path).baseline(content)


def baseline_json(evaluation: Evaluation, *, command: str, machine: str) -> str:
    """Return an evaluation as a baseline file: values in percent and milliseconds, then counts and provenance.

    Values that were not measured are null. `command` repeats the measurement; `machine` describes where latency was
    measured.
    """
    latency = evaluation.latency
    quantiles = {} if latency is None else {entry.quantile: entry.seconds for entry in latency.quantiles}
    content = {
        "fpr": _to_percent(evaluation.clean),
        "detection_rates": {method: _to_percent(rate) for method, rate in evaluation.detections.items()},
        "performance": {
            **{key: _rounded(quantiles.get(quantile), 1000.0) for key, quantile in QUANTILE_KEYS.items()},
            THROUGHPUT_KEY: None if latency is None else _rounded(latency.throughput, 1.0),
        },
        "fpr_by_format": {
            name: _to_percent(evaluation.clean_by_format[name]) if name in evaluation.clean_by_format else None
            for name in FORMATS
        },
        "counts": {
            "clean": _count(evaluation.clean),
            "detections": {method: _count(rate) for method, rate in evaluation.detections.items()},
            "clean_by_format": {name: _count(rate) for name, rate in evaluation.clean_by_format.items()},
            "latency_images": 0 if latency is None else latency.images,
        },
        "provenance": {
            "model": evaluation.model,
            "dataset": evaluation.dataset,
            **asdict(evaluation.provenance),
            "measured_at": iso(evaluation.finished_at),
            "command": command,
            "machine": machine,
        },
    }
    return json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def this_machine() -> str:
    """Return CPU, number of usable cores, operating system and Python version as one line."""
    processor = platform.processor() or platform.machine()
    with suppress(OSError):
        # The platform module does not return the CPU model on Linux.
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                processor = line.partition(":")[2].strip()
                break
    return f"{processor}, {available_cores()} cores, {platform.system()}, Python {platform.python_version()}"


def _to_percent(rate: Proportion) -> float | None:
    return _rounded(rate.ratio, 100.0)


def _rounded(value: float | None, factor: float) -> float | None:
    return None if value is None else round(value * factor, 6)


def _count(rate: Proportion) -> dict[str, int]:
    return {"count": rate.count, "total": rate.total}


@dataclass(frozen=True, slots=True)
class _File:
    path: Path

    def baseline(self, content: object) -> Baseline:
        top = self._table(content, "")
        rates = self._table(top.get("detection_rates"), "detection_rates", METHODS)
        formats = self._table(top.get("fpr_by_format"), "fpr_by_format", FORMATS)
        performance = self._table(top.get("performance"), "performance", (*QUANTILE_KEYS, THROUGHPUT_KEY))
        if not {"fpr", "detection_rates", "performance", "fpr_by_format"} & top.keys():
            raise BaselineError(f"{self.path}: holds none of fpr, detection_rates, performance, fpr_by_format")
        latency = {
            quantile: float(value / 1000)
            for key, quantile in QUANTILE_KEYS.items()
            if (value := self._number(performance.get(key), f"performance.{key}")) is not None
        }
        throughput = self._number(performance.get(THROUGHPUT_KEY), f"performance.{THROUGHPUT_KEY}")
        return Baseline(
            false_positive_ratio=self._percent(top.get("fpr"), "fpr"),
            detection_ratios={
                method: ratio
                for method in METHODS
                if (ratio := self._percent(rates.get(method), f"detection_rates.{method}")) is not None
            },
            latency_seconds=latency,
            throughput=None if throughput is None else float(throughput),
            false_positive_ratio_by_format={
                name: ratio
                for name in FORMATS
                if (ratio := self._percent(formats.get(name), f"fpr_by_format.{name}")) is not None
            },
        )

    def _table(self, value: object, key: str, known: tuple[str, ...] | None = None) -> dict[str, object]:
        where = f"{self.path}: {key}: " if key else f"{self.path}: "
        if value is None and key:
            return {}
        if not isinstance(value, dict):
            raise BaselineError(f"{where}expected an object")
        # A misspelt method would otherwise disable its check.
        unknown = sorted(set(value) - set(known)) if known is not None else []
        if unknown:
            raise BaselineError(f"{where}unknown key {unknown[0]}; expected {', '.join(known or ())}")
        return value

    def _percent(self, value: object, key: str) -> float | None:
        number = self._number(value, key)
        if number is None:
            return None
        if number > 100:
            raise BaselineError(f"{self.path}: {key}: expected percent from 0 to 100, got {number}")
        return float(number / 100)

    def _number(self, value: object, key: str) -> Decimal | None:
        if value is None:
            return None
        if not isinstance(value, Decimal) or not value.is_finite() or value < 0:
            shown = value if isinstance(value, Decimal) else json.dumps(value, default=str)[:40]
            raise BaselineError(f"{self.path}: {key}: expected a number that is not negative, got {shown}")
        return value
