"""Generate `docs/slo.md`: the service level objectives that follow from a configuration."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from starlight_exporter.checks.alerts import ALERT_NAMES
from starlight_exporter.checks.limits import LATENCY_QUANTILE, CheckLimits, CheckName
from starlight_exporter.config import Config
from starlight_exporter.durations import format_duration
from starlight_exporter.formatting import integer, milliseconds, percent
from starlight_exporter.publish.families import checks, data, models, runs
from starlight_exporter.statistics.sample_sizes import images_needed_to_confirm

OVERDUE_INTERVALS: Final = 2
"""An evaluation is overdue after this many of its intervals, as in the alert StarlightEvaluationStale."""
PERIOD: Final = "28d"

_INTRO: Final = """# Service level objectives

Generated from [config/starlight.yml](../config/starlight.yml); a test fails when the two differ. The objectives are the
limits of the configuration: a changed limit changes the objective, its alert and the dashboards. They apply to models
with `role: production` on datasets with `alerts: true`{datasets}.

A limit is a statement about the images of the dataset. How much of the time it has to be met (the error budget) is a
decision of the team that relies on the model; the queries below return how much it was. An objective that is *not
measured* counts neither as met nor as missed. `images` is the smallest sample, with one image per cover, that confirms
an objective without a single error: the 95% confidence interval then excludes the limit. A smaller dataset can meet the
objective only inconclusively.

| objective | indicator | limit | configuration | alert | images |
|---|---|---|---|---|---|
"""

_QUERIES: Final = """
## How much of the time an objective was met

The share of the time with a result in the last {period}, for each model, dataset and slice. Replace `fpr_target` by the
check of another objective:

```promql
{met}
```

Freshness, with a subquery because it compares two metrics:

```promql
{fresh}
```

How much of the time there was a result at all, which the query above leaves out:

```promql
{measured}
```
"""


@dataclass(frozen=True, slots=True)
class Objective:
    """One row: objective, indicator, limit, configuration key, alert (empty without one), and images (None if none)."""

    name: str
    indicator: str
    limit: str
    key: str
    alert: str
    images: int | None = None


def service_level_objectives(config: Config) -> str:
    """Return the text of `docs/slo.md` for a configuration."""
    alerting = [dataset.name for dataset in config.datasets if dataset.alerts and dataset.labelled]
    datasets = f" ({', '.join(f'`{name}`' for name in alerting)})" if alerting else ""
    rows = [
        f"| {one.name} | {one.indicator} | {one.limit} | `{one.key}` | {f'`{one.alert}`' if one.alert else 'none'} | "
        f"{'' if one.images is None else integer(one.images)} |"
        for one in objectives(config)
    ]
    queries = _QUERIES.format(period=PERIOD, met=_met("fpr_target"), fresh=_fresh(), measured=_measured("fpr_target"))
    return _INTRO.format(datasets=datasets) + "\n".join(rows) + "\n" + queries


def objectives(config: Config) -> Iterator[Objective]:
    """Yield the objectives of a configuration; checks that are disabled have none."""
    interval = config.schedule.interval
    yield Objective(
        "freshness of results",
        f"`{runs.EVALUATION_AGE.name}`",
        f"at most {OVERDUE_INTERVALS} × the interval"
        + (f", {format_duration(OVERDUE_INTERVALS * interval)}" if interval is not None else ""),
        "schedule",
        "StarlightEvaluationStale",
    )
    limits = config.checks.limits()
    for check, name, indicator, limit, images in _checks(limits):
        if check not in limits.disabled:
            alert = "" if check in limits.informational else ALERT_NAMES.get(check, "")
            yield Objective(name, indicator, limit, f"checks.{check}", alert, images)


_Check = tuple[CheckName, str, str, str, int | None]
"""Check, name, indicator, limit and images."""


def _checks(limits: CheckLimits) -> tuple[_Check, ...]:
    return (*_false_positives(limits), *_detections(limits), *_latencies(limits))


def _false_positives(limits: CheckLimits) -> tuple[_Check, ...]:
    name, share = "false positive rate", "share of the clean images that are classified as stego"
    target, negatives = f"below {percent(limits.fpr_target)}", f"below {percent(limits.negatives)}"
    of_format = f"{_above(limits.format_consistency)}, which is {percent(limits.format_default)} if it has none"
    return (
        ("fpr_target", name, share, target, _images(limits.fpr_target)),
        ("fpr_baseline", f"{name}, relative", share, f"at most {limits.fpr_baseline:g} × the baseline", None),
        ("fpr_stability", f"{name}, stable", share, _above(limits.fpr_stability), None),
        ("format_consistency", f"{name} of each format", f"{share}, by format", of_format, None),
        ("negatives", f"{name} on hard negatives", f"{share}, by category", negatives, _images(limits.negatives)),
    )


def _detections(limits: CheckLimits) -> tuple[_Check, ...]:
    share = "share of the stego images of each method that are detected"
    floor, target = limits.detection_floor, limits.detection_target
    relative = f"at least {limits.detection_baseline:g} × the baseline"
    return (
        ("detection_floor", "detection rate", share, f"above {percent(floor)}", _images(1 - floor)),
        ("detection_target", "detection rate, goal", share, f"above {percent(target)}", _images(1 - target)),
        ("detection_baseline", "detection rate, relative", share, relative, None),
    )


def _latencies(limits: CheckLimits) -> tuple[_Check, ...]:
    latency = f"p{LATENCY_QUANTILE * 100:g} of the time of one image from file to verdict"
    relative = f"{latency}, divided by that of the baseline in the same run"
    return (
        ("latency_limit", "latency", latency, f"below {milliseconds(limits.latency_limit)}", None),
        ("latency_baseline", "latency, relative", relative, f"at most {limits.latency_baseline:g}", None),
    )


def _above(difference: float) -> str:
    return f"less than {100 * difference:g} percentage points above the baseline"


def _images(rate: float) -> int | None:
    return images_needed_to_confirm(round(rate, 12)) if 0 < rate < 1 else None


def _of_production(expression: str) -> str:
    return (
        f"{expression}\n"
        f'  and on (job, instance, model) {models.MODEL_INFO.name}{{role="production"}}\n'
        f"  and on (job, instance, dataset) ({data.DATASET_ALERTS.name} == 1)"
    )


def _met(check: CheckName) -> str:
    return _of_production(f'avg_over_time({checks.REGRESSION_CHECK_PASSED.name}{{check="{check}"}}[{PERIOD}])')


def _fresh() -> str:
    age, interval = runs.EVALUATION_AGE.name, runs.EVALUATION_INTERVAL.name
    return _of_production(f"avg_over_time(({age} <= bool {OVERDUE_INTERVALS} * {interval})[{PERIOD}:5m])")


def _measured(check: CheckName) -> str:
    passed = f'count_over_time({checks.REGRESSION_CHECK_PASSED.name}{{check="{check}"}}[{PERIOD}])'
    scrapes = f"count_over_time({data.DATASET_ALERTS.name}[{PERIOD}])"
    return _of_production(f"{passed}\n  / on (job, instance, dataset) group_left () {scrapes}")
