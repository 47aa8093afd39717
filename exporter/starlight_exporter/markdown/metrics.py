"""Build the metrics of one model on one dataset from the samples of the exporter."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from starlight_exporter.checks.limits import LATENCY_QUANTILE, CheckName
from starlight_exporter.checks.results import CheckResult
from starlight_exporter.detector.contract import FORMATS, METHODS
from starlight_exporter.markdown.check_samples import Checks
from starlight_exporter.markdown.samples import Sample, Samples
from starlight_exporter.markdown.values import MetricValue, RequiredOperator
from starlight_exporter.publish.families import accuracy, checks, latency, runs
from starlight_exporter.publish.families.family import Family, ProportionFamilies, number_label

_QUANTILES = (0.5, 0.95, 0.99)
_P95 = f"p{LATENCY_QUANTILE * 100:g}"


def false_positive_rate(samples: Samples, labels: Mapping[str, str], results: Checks) -> MetricValue:
    """Return the false positive rate of all clean images."""
    return _ratio(
        samples,
        accuracy.CLEAN,
        labels,
        "clean images",
        baseline=samples.value(checks.BASELINE_FALSE_POSITIVES, labels),
        target=results.get(("fpr_target", "")),
        others=_present(results, "", "fpr_baseline", "fpr_stability"),
    )


def format_rates(samples: Samples, labels: Mapping[str, str], results: Checks) -> tuple[MetricValue, ...]:
    """Return the false positive rate of each format of the dataset."""
    names = label_values(samples.of(accuracy.CLEAN_BY_FORMAT.total, labels), "format", FORMATS)
    return tuple(
        _ratio(
            samples,
            accuracy.CLEAN_BY_FORMAT,
            of_format := {**labels, "format": name},
            f"clean {name}",
            baseline=samples.value(checks.BASELINE_FORMAT_FALSE_POSITIVES, of_format),
            target=results.get(("format_consistency", name)),
        )
        for name in names
    )


def negative_rates(samples: Samples, labels: Mapping[str, str], results: Checks) -> tuple[MetricValue, ...]:
    """Return the false positive rate of each category of hard negatives."""
    return tuple(
        _ratio(
            samples,
            accuracy.NEGATIVES,
            {**labels, "category": name},
            f"negative {name}",
            target=results.get(("negatives", name)),
        )
        for name in label_values(samples.of(accuracy.NEGATIVES.total, labels), "category", ())
    )


def detection_rates(samples: Samples, labels: Mapping[str, str], results: Checks) -> tuple[MetricValue, ...]:
    """Return the detection rate of each method."""
    return tuple(
        _ratio(
            samples,
            accuracy.STEGO,
            of_method := {**labels, "method": method},
            method,
            baseline=samples.value(checks.BASELINE_DETECTIONS, of_method),
            target=results.get(("detection_target", method)),
            others=_present(results, method, "detection_floor", "detection_baseline"),
            required=">",
        )
        for method in METHODS
    )


def latencies(samples: Samples, labels: Mapping[str, str], results: Checks) -> tuple[MetricValue, ...]:
    """Return the latency quantiles, p95 relative to the baseline, and the throughputs."""
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
            baseline=quantile(checks.BASELINE_LATENCY, q),
            target=results.get(("latency_limit", _P95)) if q == LATENCY_QUANTILE else None,
        )
        for q in _QUANTILES
    ]
    throughput = samples.value(latency.THROUGHPUT, labels)
    bulk = samples.value(runs.EVALUATION_SPEED, labels)
    return (
        *quantiles,
        _relative_to_baseline(samples, labels, results, next(one for one in quantiles if one.name == _P95)),
        MetricValue("one image at a time", "images per second", throughput, total=total),
        MetricValue("in bulk, on all cores", "images per second", bulk),
    )


def label_values(samples: Iterable[Sample], label: str, order: Iterable[str]) -> list[str]:
    """Return the values of a label: the known ones in their order, then the others by name."""
    present = {sample.label(label) for sample in samples}
    known = [value for value in order if value in present]
    return [*known, *sorted(present - set(known))]


def _relative_to_baseline(
    samples: Samples, labels: Mapping[str, str], results: Checks, p95: MetricValue
) -> MetricValue:
    check = results.get(("latency_baseline", _P95))
    ratio = samples.value(latency.BASELINE_RATIO, labels)
    if ratio is None and check is not None and check.passed is not None and p95.value is not None and p95.baseline:
        # Against a recorded baseline, the check divides the two quantiles.
        ratio = p95.value / p95.baseline
    return MetricValue(
        name=f"{_P95} relative to the baseline",
        unit="× baseline",
        value=ratio,
        lower=samples.value(latency.BASELINE_RATIO_LOWER, labels),
        target=check,
        required="≤",
    )


def _ratio(
    samples: Samples,
    families: ProportionFamilies,
    labels: Mapping[str, str],
    name: str,
    *,
    baseline: float | None = None,
    target: CheckResult | None,
    others: tuple[CheckResult, ...] = (),
    required: RequiredOperator = "<",
) -> MetricValue:
    def count(family: Family) -> int | None:
        found = samples.value(family, labels)
        return None if found is None else int(found)

    return MetricValue(
        name=name,
        unit="ratio",
        value=samples.value(families.ratio, labels),
        lower=samples.value(families.lower, labels),
        upper=samples.value(families.upper, labels),
        count=count(families.count),
        total=count(families.total),
        covers=count(families.covers),
        baseline=baseline,
        target=target,
        required=required,
        others=others,
    )


def _present(results: Checks, of: str, *names: CheckName) -> tuple[CheckResult, ...]:
    return tuple(check for name in names if (check := results.get((name, of))) is not None)
