"""Validated parts of a baseline file. All functions raise BaselineError, which names the file and the key."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from types import MappingProxyType
from typing import Final, TypeVar, get_args

from starlight_exporter.checks.machine import Machine
from starlight_exporter.checks.recorded_parts import RecordedCount, RecordedCounts, RecordedProvenance
from starlight_exporter.checks.strict_json import JsonObject, shown
from starlight_exporter.detector.contract import FORMATS, METHODS, ImageFormat, Method
from starlight_exporter.formatting import integer, iso

QUANTILE_KEYS: Final[Mapping[str, float]] = MappingProxyType({"p50_ms": 0.5, "p95_ms": 0.95, "p99_ms": 0.99})
THROUGHPUT_KEY: Final = "throughput_imgs_per_sec"

_MIN_DECIMALS: Final = 2
_MAX_DECIMALS: Final = 6
"""A percentage may be rounded to its last digit, but not to less than two decimals; six are written."""

_TEXTS: Final = (
    "model",
    "dataset",
    "decision",
    "exporter_version",
    "onnxruntime_version",
    "numpy_version",
    "pillow_version",
    "execution_provider",
    "dataset_generator",
    "command",
)
_HASHES: Final = ("model_sha256", "dataset_fingerprint")
_MACHINE_TEXTS: Final = ("processor", "execution_provider", "onnxruntime_version", "system", "python")

_Key = TypeVar("_Key", bound=str)
_Reader = Callable[[JsonObject, str, RecordedCount | None], float | None]


def false_positive_rate(parent: JsonObject, name: str, count: RecordedCount | None) -> float | None:
    """Return a percentage as a ratio; it must agree with its count. None if it is omitted."""
    number = parent.number(name)
    if number is None:
        return None
    if number > 100:
        raise parent.error(name, f"expected percent from 0 to 100, got {shown(number)}")
    if count is not None:
        _check_count(parent, name, number, count)
    return float(number / 100)


def detection_rate(parent: JsonObject, name: str, count: RecordedCount | None) -> float | None:
    """Return a percentage as a ratio; above 0 and at most 1 it is an error unless its count confirms it."""
    number = parent.number(name)
    if number is not None and 0 < number <= 1 and count is None:
        raise parent.error(name, f"expected percent, this looks like a ratio: {shown(number)}")
    return false_positive_rate(parent, name, count)


def detection_rates(top: JsonObject, counts: RecordedCounts) -> dict[Method, float]:
    """Return the detection rate per method as ratios."""
    return _rates(top.child("detection_rates", METHODS), METHODS, counts.detections, detection_rate)


def format_rates(top: JsonObject, counts: RecordedCounts) -> dict[ImageFormat, float]:
    """Return the false positive rate per format as ratios."""
    return _rates(top.child("fpr_by_format", FORMATS), FORMATS, counts.clean_by_format, false_positive_rate)


def category_rates(top: JsonObject, counts: RecordedCounts) -> dict[str, float]:
    """Return the false positive rate per category of negatives as ratios."""
    table = top.child("fpr_by_category", None)
    return _rates(table, tuple(table.values), counts.negatives, false_positive_rate)


def latency_seconds(top: JsonObject) -> dict[float, float]:
    """Return quantile → seconds; a higher quantile is not smaller."""
    table = _performance(top)
    found: dict[float, float] = {}
    last = Decimal(0)
    for key, quantile in QUANTILE_KEYS.items():
        value = table.number(key)
        if value is None:
            continue
        if value < last:
            raise table.error(key, f"{shown(value)} is below a lower quantile, {shown(last)}")
        found[quantile], last = float(value / 1000), value
    return found


def throughput(top: JsonObject) -> float | None:
    """Return images per second."""
    value = _performance(top).number(THROUGHPUT_KEY)
    return None if value is None else float(value)


def counts_from(top: JsonObject) -> RecordedCounts:
    """Return the counts; none exceeds its total, and the formats add up to no more than all clean files."""
    formats: tuple[ImageFormat, ...] = get_args(ImageFormat)
    table = top.child("counts", ("clean", "detections", "clean_by_format", "negatives", "latency_images"))
    negatives = table.child("negatives", None)
    counts = RecordedCounts(
        clean=_count(table, "clean"),
        detections=_counts(table.child("detections", METHODS), METHODS),
        clean_by_format=_counts(table.child("clean_by_format", formats), formats),
        negatives=_counts(negatives, tuple(negatives.values)),
        latency_images=table.count("latency_images"),
    )
    if counts.clean is not None:
        of_formats = _sum(counts.clean_by_format)
        for name in ("total", "count"):
            part, whole = getattr(of_formats, name), getattr(counts.clean, name)
            if part > whole or (part < whole and of_formats.total == counts.clean.total):
                problem = f"{name}s add up to {integer(part)}, but counts.clean has {integer(whole)}"
                raise table.error("clean_by_format", problem)
    return counts


def check_misclassified(top: JsonObject, listed: int, counts: RecordedCounts) -> None:
    """Check the number of listed files: at most one per wrong verdict, and at least one if there are any.

    Several files may have the same content.
    """
    top.child("counts", None).require(("clean", "detections", "negatives"))
    clean, stego, negatives = counts.clean, _sum(counts.detections), _sum(counts.negatives)
    wrong = (0 if clean is None else clean.count) + negatives.count + stego.total - stego.count
    if listed > wrong or (wrong and not listed):
        problem = f"{integer(listed)} files, but the counts have {integer(wrong)} wrong verdicts"
        raise top.error("misclassified", problem)


def provenance_from(top: JsonObject) -> RecordedProvenance | None:
    """Return the provenance, None if it is omitted. In files of 0.1.0 it has the machine as a text."""
    if not top.has("provenance"):
        return None
    table = top.child("provenance", (*_TEXTS, *_HASHES, "seed", "measured_at", "machine"))
    if table.text("machine") is not None and top.has("machine"):
        raise table.error("machine", "the machine is described twice")
    texts = {name: table.text(name) for name in _TEXTS}
    hashes = {name: table.sha256(name) for name in _HASHES}
    return RecordedProvenance(**texts, **hashes, seed=table.count("seed"), measured_at=_utc_seconds(table))


def machine_from(top: JsonObject, provenance: RecordedProvenance | None) -> Machine | None:
    """Return the machine, which has to agree with the provenance; None if it is omitted."""
    if not top.has("machine"):
        return None
    table = top.child("machine", (*_MACHINE_TEXTS, "cores"))
    table.require((*_MACHINE_TEXTS, "cores"))
    texts = {name: table.text(name) or "" for name in _MACHINE_TEXTS}
    cores = table.count("cores")
    if not cores:
        raise table.error("cores", "expected at least 1")
    machine = Machine(cores=cores, **texts)
    for name in ("onnxruntime_version", "execution_provider"):
        stated = getattr(provenance, name, None)
        if stated is not None and stated != getattr(machine, name):
            raise table.error(name, f"differs from provenance.{name}, {shown(stated)}")
    return machine


def _performance(top: JsonObject) -> JsonObject:
    return top.child("performance", (*QUANTILE_KEYS, THROUGHPUT_KEY))


def _rates(
    table: JsonObject, names: Sequence[_Key], counts: Mapping[_Key, RecordedCount], read: _Reader
) -> dict[_Key, float]:
    found = {name: read(table, name, counts.get(name)) for name in names}
    return {name: rate for name, rate in found.items() if rate is not None}


def _check_count(parent: JsonObject, name: str, percent: Decimal, count: RecordedCount) -> None:
    text = f"{integer(count.count)} of {integer(count.total)}"
    if not count.total:
        raise parent.error(name, f"{shown(percent)} contradicts its count, {text}")
    expected = Decimal(100 * count.count) / count.total
    exponent = percent.as_tuple().exponent
    decimals = -exponent if isinstance(exponent, int) else 0
    tolerance = Decimal(5).scaleb(-1 - min(max(decimals, _MIN_DECIMALS), _MAX_DECIMALS))
    if abs(percent - expected) <= tolerance:
        return
    if percent and abs(percent - expected / 100) <= tolerance:
        raise parent.error(name, f"expected percent, this looks like a ratio: {shown(percent)} ({text})")
    raise parent.error(name, f"{shown(percent)} contradicts its count, {text}")


def _count(parent: JsonObject, name: str) -> RecordedCount | None:
    if not parent.has(name):
        return None
    table = parent.child(name, ("count", "total"))
    table.require(("count", "total"))
    count, total = table.count("count") or 0, table.count("total") or 0
    if count > total:
        raise parent.error(name, f"count {integer(count)} exceeds total {integer(total)}")
    return RecordedCount(count, total)


def _counts(table: JsonObject, names: Sequence[_Key]) -> dict[_Key, RecordedCount]:
    found = {name: _count(table, name) for name in names}
    return {name: count for name, count in found.items() if count is not None}


def _sum(counts: Mapping[_Key, RecordedCount]) -> RecordedCount:
    return RecordedCount(sum(one.count for one in counts.values()), sum(one.total for one in counts.values()))


def _utc_seconds(table: JsonObject) -> float | None:
    text = table.text("measured_at")
    if text is None:
        return None
    try:
        seconds = datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC).timestamp()
    except (ValueError, OverflowError):
        seconds = None
    # strptime also accepts numbers with fewer digits.
    if seconds is None or iso(seconds) != text:
        raise table.error("measured_at", f"expected a UTC time such as 2026-01-31T09:30:00Z, got {shown(text)}")
    return seconds
