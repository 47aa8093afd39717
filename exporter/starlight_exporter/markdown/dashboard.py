"""Build the current values of all models and datasets from the samples of the exporter."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from starlight_exporter.detector.contract import FORMATS, METHODS
from starlight_exporter.markdown.check_samples import checks_of
from starlight_exporter.markdown.metrics import (
    detection_rates,
    false_positive_rate,
    format_rates,
    label_values,
    latencies,
    negative_rates,
)
from starlight_exporter.markdown.samples import Sample, Samples
from starlight_exporter.markdown.unlabelled import unlabelled_summaries
from starlight_exporter.markdown.values import Dashboard, DatasetSummary, ModelResult
from starlight_exporter.publish.families import accuracy, data, latency, models, runs

OVERDUE_INTERVALS = 2.0
"""An evaluation is overdue after this many of its intervals, as in the alert."""


def build_dashboard(samples: Samples, *, now: float, role: str = "production") -> Dashboard:
    """Return the values of every model on every labelled dataset; models with `role` have their own sections."""
    found = []
    for info in samples.of(models.MODEL_INFO):
        place = _only(info, "job", "instance", "model")
        datasets = {
            sample.label("dataset")
            for family in (runs.EVALUATION_IN_PROGRESS, runs.EVALUATION_TIMESTAMP)
            for sample in samples.of(family, place)
            if _is_labelled(samples, sample)
        }
        found += [_model_result(samples, info, {**place, "dataset": name}, now) for name in sorted(datasets)]
    found.sort(key=lambda one: (one.role, sorted(one.labels.items())))
    places = {tuple(_only(one, "job", "instance", "dataset").items()) for one in _dataset_samples(samples)}
    return Dashboard(
        production=tuple(one for one in found if one.role == role),
        others=tuple(one for one in found if one.role != role),
        datasets=tuple(_dataset(samples, dict(place)) for place in sorted(places)),
        unlabelled=unlabelled_summaries(samples),
    )


def _model_result(samples: Samples, info: Sample, labels: dict[str, str], now: float) -> ModelResult:
    results = checks_of(samples, labels, production=info.label("role") == "production")
    evaluated = samples.value(runs.EVALUATION_TIMESTAMP, labels)
    interval = samples.value(runs.EVALUATION_INTERVAL, labels)
    due = None if evaluated is None or interval is None else evaluated + OVERDUE_INTERVALS * interval
    provenance = samples.of(runs.EVALUATION_INFO, labels)
    on_disk = samples.of(models.MODEL_FILE_INFO, _only(info, "job", "instance", "model"))
    sha256 = provenance[0].label("model_sha256") if provenance else info.label("sha256")
    newer = on_disk[0].label("sha256") if on_disk else sha256
    return ModelResult(
        labels=labels,
        role=info.label("role"),
        file=info.label("file"),
        # The applied rule; the configured one needs a method that the model may not predict.
        decision=(provenance[0] if provenance else info).label("decision"),
        sha256=sha256,
        newer_on_disk=None if newer == sha256 else newer,
        fingerprint=provenance[0].label("dataset_fingerprint") if provenance else "",
        evaluated_at=evaluated,
        overdue_since=due if due is not None and due < now else None,
        alerts=samples.value(data.DATASET_ALERTS, _of_dataset(labels)) != 0,
        checks=tuple(results.values()),
        false_positives=false_positive_rate(samples, labels, results),
        formats=format_rates(samples, labels, results),
        negatives=negative_rates(samples, labels, results),
        detections=detection_rates(samples, labels, results),
        latency=latencies(samples, labels, results),
        contention=samples.value(latency.CONTENTION, labels),
        not_measured={
            sample.label("reason"): int(sample.value)
            for sample in samples.of(accuracy.IMAGES_NOT_MEASURED, labels)
            if sample.value
        },
    )


def _is_labelled(samples: Samples, of: Sample) -> bool:
    """Return whether the dataset of a sample is labelled, as all are without the metric."""
    return samples.value(data.DATASET_LABELLED, _only(of, "job", "instance", "dataset")) != 0


def _dataset_samples(samples: Samples) -> Iterable[Sample]:
    return (*samples.of(data.DATASET_INFO), *samples.of(data.DATASET_IMAGES))


def _dataset(samples: Samples, labels: dict[str, str]) -> DatasetSummary:
    images = samples.of(data.DATASET_IMAGES, labels)
    info = samples.of(data.DATASET_INFO, labels)
    duplicates = samples.value(data.DATASET_DUPLICATES, labels)
    return DatasetSummary(
        labels=labels,
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
        for value in label_values(kept, label, order)
    }


def _of_dataset(labels: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in labels.items() if name != "model"}


def _only(sample: Sample, *names: str) -> dict[str, str]:
    return {name: sample.label(name) for name in names if name in sample.labels}
