"""Checks (`checks.run_checks`) and alerts agree at and on both sides of every limit.

The cases are generated from the limits of two configurations, published by the collector, and evaluated by promtool
with the shipped expressions. Annotations are tested by prometheus/tests.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import zip_longest
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from starlight_exporter.checks import limits as check_limits
from starlight_exporter.checks.accuracy_rules import decimal
from starlight_exporter.checks.checks import run_checks
from starlight_exporter.checks.comparison_basis import BaselineInUse, CheckBasis
from starlight_exporter.checks.counts import PairedCounts, counts_of_rates
from starlight_exporter.checks.limits import DEFAULT_LIMITS, CheckLimits, CheckName
from starlight_exporter.checks.results import CheckResult, Unavailable
from starlight_exporter.detector.contract import FORMATS, METHODS, ImageFormat
from starlight_exporter.evaluation.results import Evaluation, LatencyQuantile
from starlight_exporter.models.roles import Role
from starlight_exporter.publish.collector import StarlightCollector
from starlight_exporter.publish.snapshot import DatasetState, ModelState, RunState, Snapshot
from starlight_exporter.statistics.intervals import proportion
from starlight_exporter.statistics.latency_ratio import LatencyRatio
from starlight_exporter.statistics.resampling import QuantileRatio
from support.checks import pairs
from support.rules import ALERT_OF, ALERTS, RULES, SLICE_LABEL, promtool, selectors
from support.snapshots import empty_snapshot, full_evaluation

pytestmark = pytest.mark.slow

FILES = ("false_positives.yml", "slices.yml", "detection.yml", "latency.yml")

NO_ALERT: frozenset[CheckName] = frozenset({"detection_target"})
NEVER_CRITICAL: frozenset[CheckName] = frozenset({"latency_limit"})

CAUSE_OF = {rule.alert: rule.labels.get("cause") for rule in ALERTS}

QUIET = "quiet"
"""A dataset with `alerts: false`; every other one alerts."""

CHANGED_LIMITS = CheckLimits(
    fpr_baseline=2.0,
    fpr_stability=0.003,
    fpr_target=0.002,
    detection_baseline=0.9,
    detection_floor=0.8,
    latency_baseline=1.05,
    latency_limit=0.0031,
    format_consistency=0.001,
    format_default=0.002,
    negatives=0.02,
)
RESTRICTED_LIMITS = replace(
    DEFAULT_LIMITS,
    disabled=frozenset({"fpr_stability", "latency_limit"}),
    informational=frozenset({"detection_target", "fpr_target", "detection_floor", "latency_baseline"}),
)
CONFIGURATIONS = {"default": DEFAULT_LIMITS, "changed": CHANGED_LIMITS, "restricted": RESTRICTED_LIMITS}

FORMAT_NAMES: tuple[ImageFormat, ...] = (*FORMATS, "other")

Slice = tuple[int, int, Fraction | None]
"""Count, total, and the rate of the baseline."""

EMPTY: Slice = (0, 0, None)


@dataclass(frozen=True, slots=True)
class Case:
    """One model on one dataset, and the inputs of its checks."""

    measured: Evaluation
    basis: CheckBasis
    limits: CheckLimits

    @property
    def checks(self) -> tuple[CheckResult, ...]:
        """The check results."""
        return run_checks(self.measured, self.basis, self.limits)


def _counts(total: int, limit: Fraction) -> set[int]:
    """Return the counts around a limit, and some far from it in both directions."""
    middle = limit * total
    around = {math.floor(middle) - 1, math.floor(middle), math.ceil(middle), math.ceil(middle) + 1}
    far = {math.floor(middle / 2), math.ceil(middle + 8 * math.sqrt(total * limit * (1 - limit)) + 8)}
    return {count for count in around | far if 0 <= count <= total}


def _slices(
    totals: Sequence[int],
    baselines: Sequence[str | None],
    limits_of: Callable[[Fraction | None], list[Fraction]],
) -> list[Slice]:
    rates = [None if one is None else Fraction(one) for one in baselines]
    return [
        (count, total, rate)
        for rate in rates
        for total in totals
        for count in sorted({count for limit in limits_of(rate) for count in _counts(total, min(limit, Fraction(1)))})
    ]


def _clean(limits: CheckLimits) -> list[Slice]:
    def limits_of(rate: Fraction | None) -> list[Fraction]:
        against = [] if rate is None else [rate * decimal(limits.fpr_baseline), rate + decimal(limits.fpr_stability)]
        return [decimal(limits.fpr_target), *against]

    # 7 of 4,000 and 1 of 3,000 are no decimals.
    baselines = (None, "0", "0.0001", "0.001", "7/4000", "1/3000", "0.00431")
    return [EMPTY, *_slices((500, 3_000, 10_000, 10_000_000), baselines, limits_of)]


def _detections(limits: CheckLimits) -> list[Slice]:
    def limits_of(rate: Fraction | None) -> list[Fraction]:
        return [decimal(limits.detection_floor), *([] if rate is None else [rate * decimal(limits.detection_baseline)])]

    return _slices((20, 100, 3_000, 10_000), (None, "1", "0.99", "0.808", "2957/3000"), limits_of)


def _formats(limits: CheckLimits) -> list[Slice]:
    def limits_of(rate: Fraction | None) -> list[Fraction]:
        return [(decimal(limits.format_default) if rate is None else rate) + decimal(limits.format_consistency)]

    return [EMPTY, *_slices((100, 10_000, 100_000), (None, "0", "0.0001", "0.001", "1/3000"), limits_of)]


def _negatives(limits: CheckLimits) -> list[Slice]:
    return [EMPTY, *_slices((50, 200, 1_000, 3_000), (None,), lambda _: [decimal(limits.negatives)])]


@dataclass(frozen=True, slots=True)
class Latency:
    """Input of the latency checks: p95, ratio to the baseline model, that of the evaluation before, recorded p95."""

    seconds: float | None = 0.001
    contention: float = 0.0
    ratio: LatencyRatio | None = None
    previous: LatencyRatio | None = None
    recorded: float | None = None
    obstacle: Unavailable | None = None


def _ratio(value: float, *, lower: float, contention: float = 0.0) -> LatencyRatio:
    """Return a ratio whose clock in use has this value; the other has another."""
    used, other = QuantileRatio(value, lower, value * 1.1), QuantileRatio(value * 0.99, lower, value * 1.2)
    wall, cpu = (other, used) if contention > 0.05 else (used, other)
    return LatencyRatio(1_000, wall, cpu, contention, "b" * 64)


def _latencies(limits: CheckLimits) -> list[Latency]:
    def around(limit: Fraction) -> list[float]:
        return [float(limit * (1 + Fraction(step, 10**6))) for step in (-1, 0, 1)]

    limit = decimal(limits.latency_baseline)
    cases = [Latency(seconds=None), Latency()]
    cases += [
        Latency(seconds=seconds, contention=contention)
        for seconds in around(decimal(limits.latency_limit))
        for contention in (0.0, 0.05, 0.06)
    ]
    for value in around(limit):
        for contention in (0.0, 0.3):
            for lower in (float(limit) * 0.9, float(limit) * 1.0000001):
                ratio = _ratio(value, lower=lower, contention=contention)
                cases += [Latency(ratio=ratio), Latency(ratio=ratio, previous=_ratio(2.0, lower=1.9))]
    different = Unavailable("different_machine", "another machine")
    for recorded in (0.0021, 0.0025, 0.0034):
        cases += [Latency(seconds=one, recorded=recorded) for one in around(decimal(recorded) * limit)]
        cases.append(Latency(seconds=1.0, recorded=recorded, obstacle=different))
    return cases


def _chunks(slices: list[Slice], size: int) -> Iterator[list[Slice]]:
    return (slices[start : start + size] for start in range(0, len(slices), size))


def _pairs(counts_key: str, total: int, number: int) -> PairedCounts | None:
    """Return, in turn: no pairs, pairs that reject, pairs that do not, and pairs of an improvement."""
    few, many = min(3, total), min(60, total)
    return (
        None,
        pairs(total, broken=many),
        pairs(total, broken=few),
        pairs(total, broken=0, fixed=many),
    )[(number + len(counts_key)) % 4]


class Row(NamedTuple):
    """Slices and latency of one model; None for those that are empty."""

    clean: Slice | None
    detections: list[Slice] | None
    by_format: list[Slice] | None
    negatives: list[Slice] | None
    latency: Latency | None


def _cases(role: Role, limits: CheckLimits, dataset: str = "reference") -> list[Case]:
    """Return one model per entry of the longest list; slices of the shorter lists are empty in the remaining ones."""
    rows = zip_longest(
        _clean(limits),
        _chunks(_detections(limits), len(METHODS)),
        _chunks(_formats(limits), len(FORMAT_NAMES)),
        _chunks(_negatives(limits), 5),
        _latencies(limits),
    )
    return [
        Case(measured, _basis(measured, row, number), limits)
        for number, row in enumerate(map(Row._make, rows))
        for measured in [_evaluation(row, role, f"{role}-{number}", dataset)]
    ]


def _evaluation(row: Row, role: Role, model: str, dataset: str) -> Evaluation:
    by_method = dict(zip(METHODS, row.detections or (), strict=False))
    timed = row.latency or Latency(seconds=None)
    base = full_evaluation(model=model, dataset=dataset)
    assert base.latency is not None
    quantile = LatencyQuantile(check_limits.LATENCY_QUANTILE, timed.seconds or 0.0, None, None)
    return replace(
        base,
        role=role,
        clean=proportion(*(row.clean or (0, 0))[:2]),
        clean_by_format={
            name: proportion(*one[:2]) for name, one in zip(FORMAT_NAMES, row.by_format or (), strict=False)
        },
        negatives={f"category-{index}": proportion(*one[:2]) for index, one in enumerate(row.negatives or ())},
        detections={m: proportion(*by_method.get(m, (0, 0))[:2]) for m in METHODS},
        latency=replace(
            base.latency, quantiles=() if timed.seconds is None else (quantile,), contention=timed.contention
        ),
        latency_ratio=timed.ratio,
    )


def _basis(measured: Evaluation, row: Row, number: int) -> CheckBasis:
    """Return the basis: some models have no baseline, or one of other images."""
    timed = row.latency or Latency()
    other_images = row.latency is None and number % 4 == 3
    baseline = BaselineInUse(
        name="baseline",
        clean=None if row.clean is None else row.clean[2],
        detections={
            name: one[2] for name, one in zip(METHODS, row.detections or (), strict=False) if one[2] is not None
        },
        formats={
            name: one[2] for name, one in zip(FORMAT_NAMES, row.by_format or (), strict=False) if one[2] is not None
        },
        latency_seconds={} if timed.recorded is None else {check_limits.LATENCY_QUANTILE: timed.recorded},
        is_recorded=timed.recorded is not None,
        obstacle=Unavailable("different_images", "other images") if other_images else None,
        latency_obstacle=timed.obstacle,
    )
    counts = {
        key: one if other_images else replace(one, paired=_pairs(key, one.files, number))
        for key, one in counts_of_rates(measured).items()
    }
    has_baseline = timed.recorded is not None or number % 10 != 9
    return CheckBasis(counts, baseline if has_baseline else None, previous_latency=timed.previous)


def _snapshot(cases: Sequence[Case], limits: CheckLimits) -> Snapshot:
    models = {
        case.measured.model: ModelState(case.measured.model, case.measured.role, "model.onnx", "plain")
        for case in cases
    }
    runs = {
        (case.measured.model, case.measured.dataset): RunState(
            evaluation=case.measured, checks=case.checks, basis=case.basis
        )
        for case in cases
    }
    datasets = {name: DatasetState(name, alerts=name != QUIET) for _, name in runs}
    return replace(empty_snapshot(), models=models, datasets=datasets, runs=runs, limits=limits)


def _rules_without_annotations() -> dict[str, Any]:
    groups = []
    for name in FILES:
        groups += yaml.safe_load((RULES / name).read_text(encoding="utf-8"))["groups"]
    for group in groups:
        for rule in group["rules"]:
            del rule["annotations"]
    return {"groups": groups}


def _series(snapshot: Snapshot, wanted: set[str]) -> list[dict[str, str]]:
    """Return the input series for promtool."""
    found = []
    for metric in StarlightCollector(lambda: snapshot).collect():
        for sample in metric.samples:
            if sample.name in wanted:
                labels = {"job": "starlight-exporter", "instance": "exporter:9877", **sample.labels}
                matchers = ",".join(f'{name}="{value}"' for name, value in labels.items())
                found.append({"series": f"{sample.name}{{{matchers}}}", "values": f"{sample.value!r}"})
    return found


def _severities(check: CheckResult) -> list[str]:
    """Return the severities that must fire. Warning fires with critical; Alertmanager inhibits it."""
    if check.severity in (None, "info"):
        return []
    return ["warning", "critical"] if check.severity == "critical" else ["warning"]


def _labels(check: CheckResult, measured: Evaluation, severity: str) -> dict[str, str]:
    labels = {"job": "starlight-exporter", "instance": "exporter:9877", "severity": severity}
    labels |= {"cause": CAUSE_OF[ALERT_OF[check.name]] or "", "model": measured.model, "dataset": measured.dataset}
    slice_label = SLICE_LABEL.get(check.name.split("_")[0])
    return labels | ({slice_label: check.slice} if slice_label else {})


def _checked(limits: CheckLimits) -> list[tuple[Case, CheckResult]]:
    """Return every case of a production model with each of its check results."""
    return [(case, one) for case in _cases("production", limits) for one in case.checks]


@pytest.mark.parametrize("limits", [DEFAULT_LIMITS, CHANGED_LIMITS], ids=["default", "changed"])
def test_cases_cover_every_result_and_both_sides_of_the_limit_of_every_check(limits: CheckLimits) -> None:
    checked = _checked(limits)
    assert set(ALERT_OF) | NO_ALERT == set(check_limits.CHECK_NAMES)
    for name in ALERT_OF:
        results = [one for _, one in checked if one.name == name]
        critical = set() if name in NEVER_CRITICAL else {"critical"}
        assert {one.severity for one in results if one.passed is not None} >= {None, "warning", *critical}, name
        assert {one.severity for one in results} <= {None, "warning", *critical}, name
        assert any(one.unavailable for one in results), name
        assert any(one.value == one.limit for one in results if one.passed is not None), name
        distances = [
            (one.value - one.limit) / one.limit
            for one in results
            if one.passed is not None and one.value is not None and one.limit
        ]
        assert max(one for one in distances if one < 0) > -0.1, name
        assert min(one for one in distances if one > 0) < 0.1, name


def test_changed_limits_change_results_of_every_check() -> None:
    changed = {
        check.name
        for case, check in _checked(DEFAULT_LIMITS)
        for other in replace(case, limits=CHANGED_LIMITS).checks
        if (check.name, check.slice) == (other.name, other.slice) and check.passed is not other.passed
    }
    assert changed >= set(ALERT_OF)


@pytest.mark.usefixtures("release")
@pytest.mark.parametrize("limits", CONFIGURATIONS.values(), ids=CONFIGURATIONS)
def test_checks_and_alerts_agree(limits: CheckLimits, tmp_path: Path) -> None:
    rules = _rules_without_annotations()
    wanted = {one.metric for group in rules["groups"] for rule in group["rules"] for one in selectors(rule["expr"])}
    expected: dict[str, list[dict[str, Any]]] = {alert: [] for alert in ALERT_OF.values()}
    # The limits of the restricted configuration are the default ones.
    production = _cases("production", limits)[:: 3 if limits is RESTRICTED_LIMITS else 1]
    for case in production:
        for check in case.checks:
            if check.name not in NO_ALERT:
                expected[ALERT_OF[check.name]] += [
                    {"exp_labels": _labels(check, case.measured, severity)} for severity in _severities(check)
                ]
    # Models of other roles, and datasets without alerts, with the same values must not fire any alert.
    silent = [
        *_cases("research", limits)[::8],
        *_cases("baseline", limits)[::20],
        *_cases("production", limits, QUIET)[::8],
    ]
    assert {one.severity for case in silent for one in case.checks} >= {"warning", "critical"}
    snapshot = _snapshot([*production, *silent], limits)
    test = {
        "rule_files": ["rules.yml"],
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": _series(snapshot, wanted),
                "alert_rule_test": [
                    {"eval_time": "0m", "alertname": alert, "exp_alerts": alerts} for alert, alerts in expected.items()
                ],
            }
        ],
    }
    (tmp_path / "rules.yml").write_text(yaml.safe_dump(rules), encoding="utf-8")
    (tmp_path / "test.yml").write_text(yaml.dump(test, Dumper=yaml.CSafeDumper), encoding="utf-8")
    result = promtool("test", "rules", tmp_path / "test.yml")
    assert result.returncode == 0, _first_difference(result.stdout + result.stderr)


def _first_difference(output: str) -> str:
    """Return the alerts that only one side contains; promtool prints both lists in full."""
    lines = output.splitlines()
    report: list[str] = []
    expected: set[str] = set()
    got: set[str] = set()
    current = expected
    for line in lines:
        if "alertname:" in line and "time:" in line:
            report += _difference(expected, got)
            report.append(line.strip())
            expected, got = set(), set()
            current = expected
        elif line.strip().startswith("got:"):
            current = got
        elif "Labels:" in line:
            current.add(line.strip())
    return "\n".join([*report, *_difference(expected, got)][:40])


def _difference(expected: set[str], got: set[str]) -> list[str]:
    return [f"  check only: {line}" for line in sorted(expected - got)] + [
        f"  alert only: {line}" for line in sorted(got - expected)
    ]
