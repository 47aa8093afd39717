"""Build the current values of all models and datasets from the samples of the exporter."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from starlight_exporter.checks.limits import DEFAULT_LIMITS, LATENCY_QUANTILE, CheckName
from starlight_exporter.detector.contract import FORMATS, METHODS
from starlight_exporter.markdown.samples import Sample, Samples
from starlight_exporter.markdown.values import Dashboard, DatasetSummary, MetricValue, ModelResult
from starlight_exporter.publish.families import accuracy, checks, data, latency, models, runs
from starlight_exporter.publish.families.family import Family, ProportionFamilies, number_label
from starlight_exporter.statistics.sample_sizes import RequiredSide

OVERDUE_INTERVALS = 2.0
"""An evaluation is overdue after this many of its intervals, as in the alert."""

_QUANTILES = (0.5, 0.95, 0.99)


def build_dashboard(samples: Samples, *, now: float, role: str = "production") -> Dashboard:
    """Return the values of every configured model on every dataset; models with `role` have their own sections."""
    found = []
    for info in samples.of(models.MODEL_INFO):
        place = _only(info, "instance", "model")
        datasets = {
            sample.label("dataset")
            for family in (runs.EVALUATION_IN_PROGRESS, runs.EVALUATION_TIMESTAMP)
            for sample in samples.of(family, place)
        }
        found += [_model_result(samples, info, {**place, "dataset": name}, now) for name in sorted(datasets)]
    found.sort(key=lambda one: (one.role, sorted(one.labels.items())))
    places = {(sample.label("instance"), sample.label("dataset")) for sample in _dataset_samples(samples)}
    return Dashboard(
        production=tuple(one for one in found if one.role == role),
        others=tuple(one for one in found if one.role != role),
        datasets=tuple(_dataset(samples, instance, name) for instance, name in sorted(places)),
    )


def _model_result(samples: Samples, info: Sample, labels: dict[str, str], now: float) -> ModelResult:
    checks = _checks(samples, labels)
    evaluated = samples.value(runs.EVALUATION_TIMESTAMP, labels)
    interval = samples.value(runs.EVALUATION_INTERVAL, labels)
    due = None if evaluated is None or interval is None else evaluated + OVERDUE_INTERVALS * interval
    provenance = samples.of(runs.EVALUATION_INFO, labels)
    on_disk = samples.of(models.MODEL_FILE_INFO, _only(info, "instance", "model"))
    sha256 = provenance[0].label("model_sha256") if provenance else info.label("sha256")
    newer = on_disk[0].label("sha256") if on_disk else sha256
    return ModelResult(
        labels=labels,
        role=info.label("role"),
        file=info.label("file"),
        decision=info.label("decision"),
        sha256=sha256,
        newer_on_disk=None if newer == sha256 else newer,
        fingerprint=provenance[0].label("dataset_fingerprint") if provenance else "",
        evaluated_at=evaluated,
        overdue_since=due if due is not None and due < now else None,
        failed=tuple(key for key, passed in checks.items() if not passed),
        passed=sum(checks.values()),
        false_positives=_ratio(
            samples,
            accuracy.CLEAN,
            labels,
            "clean images",
            target=DEFAULT_LIMITS.fpr_target,
            passed=_check(checks, "fpr_target", ""),
        ),
        formats=tuple(
            _ratio(
                samples,
                accuracy.CLEAN_BY_FORMAT,
                {**labels, "format": name},
                f"clean {name}",
                target=_format_limit(samples, labels, name),
                passed=_check(checks, "format_consistency", name),
            )
            for name in _values(samples.of(accuracy.CLEAN_BY_FORMAT.total, labels), "format", FORMATS)
        ),
        negatives=tuple(
            _ratio(
                samples,
                accuracy.NEGATIVES,
                {**labels, "category": name},
                f"negative {name}",
                target=DEFAULT_LIMITS.negatives,
                passed=_check(checks, "negatives", name),
            )
            for name in _values(samples.of(accuracy.NEGATIVES.total, labels), "category", ())
        ),
        detections=tuple(
            _ratio(
                samples,
                accuracy.STEGO,
                {**labels, "method": method},
                method,
                target=DEFAULT_LIMITS.detection_target,
                passed=_check(checks, "detection_target", method),
                required="above",
            )
            for method in METHODS
        ),
        latency=_latency(samples, labels, checks),
        not_measured={
            sample.label("reason"): int(sample.value)
            for sample in samples.of(accuracy.IMAGES_NOT_MEASURED, labels)
            if sample.value
        },
    )


_Checks = Mapping[tuple[str, str], bool]


def _checks(samples: Samples, labels: Mapping[str, str]) -> _Checks:
    found = samples.of(checks.REGRESSION_CHECK_PASSED, labels)
    return {(sample.label("check"), sample.label("slice")): sample.value == 1 for sample in found}


def _check(checks: _Checks, name: CheckName, of: str) -> bool | None:
    return checks.get((name, of))


def _ratio(
    samples: Samples,
    families: ProportionFamilies,
    labels: Mapping[str, str],
    name: str,
    *,
    target: float,
    passed: bool | None,
    required: RequiredSide = "below",
) -> MetricValue:
    total = samples.value(families.total, labels)
    count = samples.value(families.count, labels)
    return MetricValue(
        name=name,
        unit="ratio",
        value=samples.value(families.ratio, labels),
        lower=samples.value(families.lower, labels),
        upper=samples.value(families.upper, labels),
        count=None if count is None else int(count),
        total=None if total is None else int(total),
        target=target,
        required=required,
        passed=passed,
    )


def _format_limit(samples: Samples, labels: Mapping[str, str], name: str) -> float:
    limit = samples.value(checks.CHECK_LIMIT, {**labels, "check": "format_consistency", "slice": name})
    return DEFAULT_LIMITS.format_default + DEFAULT_LIMITS.format_consistency if limit is None else limit


def _latency(samples: Samples, labels: Mapping[str, str], checks: _Checks) -> tuple[MetricValue, ...]:
    images = samples.value(latency.LATENCY_IMAGES, labels)
    total = None if images is None else int(images)

    def quantile(family: Family, q: float) -> float | None:
        return samples.value(family, {**labels, "quantile": number_label(q)})

    quantiles = [
        MetricValue(
            name=f"p{q * 100:g}",
            unit="seconds",
            value=quantile(latency.LATENCY, q),
            lower=quantile(latency.LATENCY_LOWER, q),
            upper=quantile(latency.LATENCY_UPPER, q),
            total=total,
            target=DEFAULT_LIMITS.latency_limit if q == LATENCY_QUANTILE else None,
            passed=_check(checks, "latency_limit", f"p{q * 100:g}") if q == LATENCY_QUANTILE else None,
        )
        for q in _QUANTILES
    ]
    throughput = samples.value(latency.THROUGHPUT, labels)
    bulk = samples.value(runs.EVALUATION_SPEED, labels)
    return (
        *quantiles,
        MetricValue("one image at a time", "images per second", throughput, total=total),
        MetricValue("in bulk, on all cores", "images per second", bulk),
    )


def _dataset_samples(samples: Samples) -> Iterable[Sample]:
    return (*samples.of(data.DATASET_INFO), *samples.of(data.DATASET_IMAGES))


def _dataset(samples: Samples, instance: str, name: str) -> DatasetSummary:
    labels = {"dataset": name} | ({"instance": instance} if instance else {})
    images = samples.of(data.DATASET_IMAGES, labels)
    info = samples.of(data.DATASET_INFO, labels)
    duplicates = samples.value(data.DATASET_DUPLICATES, labels)
    return DatasetSummary(
        name=name,
        fingerprint=info[0].label("fingerprint") if info else "",
        classes=_summed(images, "class", ("clean", "stego", "negative")),
        formats=_summed(images, "format", FORMATS),
        shares={
            method: share
            for method in METHODS
            if (share := samples.value(data.DATASET_METHOD_SHARE, {**labels, "method": method})) is not None
        },
        entropy=samples.value(data.DATASET_ENTROPY, labels),
        entropy_max=samples.value(data.DATASET_ENTROPY_MAX, labels),
        duplicates=None if duplicates is None else int(duplicates),
    )


def _summed(samples: Iterable[Sample], label: str, order: Iterable[str]) -> dict[str, int]:
    kept = list(samples)
    return {
        value: int(sum(sample.value for sample in kept if sample.label(label) == value))
        for value in _values(kept, label, order)
    }


def _values(samples: Iterable[Sample], label: str, order: Iterable[str]) -> list[str]:
    """Return the values of a label: the known ones in their order, then the others by name."""
    present = {sample.label(label) for sample in samples}
    known = [value for value in order if value in present]
    return [*known, *sorted(present - set(known))]


def _only(sample: Sample, *names: str) -> dict[str, str]:
    return {name: sample.label(name) for name in names if name in sample.labels}
