"""Checks (`checks.run_checks`) and alerts agree at and on both sides of every limit.

The cases are generated from the constants in limits.py, published by the collector, and evaluated by promtool with the
shipped expressions. Annotations are tested by prometheus/tests.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from itertools import zip_longest
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml

from starlight_exporter.analysis.comparison import Comparison as PairedComparison
from starlight_exporter.analysis.comparison import PairedSlice
from starlight_exporter.checks import limits as check_limits
from starlight_exporter.checks.baseline import Baseline
from starlight_exporter.checks.checks import CheckResult, Operator, run_checks
from starlight_exporter.checks.limits import CheckName
from starlight_exporter.detector.contract import FORMATS, METHODS, ImageFormat
from starlight_exporter.evaluation.results import Evaluation, LatencyQuantile
from starlight_exporter.models.roles import Role
from starlight_exporter.publish.collector import StarlightCollector
from starlight_exporter.publish.snapshot import DatasetState, ModelState, RunState, Snapshot
from starlight_exporter.statistics.hypothesis_tests import mcnemar_p_value
from starlight_exporter.statistics.intervals import Proportion, proportion
from starlight_exporter.statistics.sample_sizes import images_needed_to_confirm
from support.rules import ALERT_OF, RULES, SLICE_LABEL, promtool, selectors
from support.snapshots import empty_snapshot, full_evaluation

pytestmark = pytest.mark.slow

FILES = ("false_positives.yml", "slices.yml", "detection.yml", "latency.yml")

NO_ALERT: frozenset[CheckName] = frozenset({"detection_target"})

IMMEDIATELY, LATER = "0m", "20m"
"""Critical latency alerts wait for a second latency run; all others fire after the first scrape."""

Slice = tuple[int, int, float | None]
"""Count, total, and the baseline ratio."""

AGAINST, PREVIOUS = "baseline-0", "previous"
"""A model of role baseline and one that is not; only comparisons with the first count."""


class Case(NamedTuple):
    """Evaluation, baseline and comparisons of one model."""

    measured: Evaluation
    baseline: Baseline
    comparisons: tuple[PairedComparison, ...] = ()

    def checks(self) -> tuple[CheckResult, ...]:
        """Return the check results."""
        return run_checks(self.measured, self.baseline, [one for one in self.comparisons if one.against == AGAINST])


def _decimal(value: float) -> Fraction:
    return Fraction(repr(value))


def _bound(proportioned: Proportion, upper: bool) -> float:
    bound = proportioned.upper if upper else proportioned.lower
    assert bound is not None
    return bound


def _counts(total: int, limit: Fraction, *, upper: bool) -> set[int]:
    """Return counts around the limit, and around the count at which the confidence bound passes it."""
    middle = limit * total
    found = {math.floor(middle) - 1, math.floor(middle), math.ceil(middle), math.ceil(middle) + 1}
    low, high = 0, total
    while low < high:
        count = (low + high) // 2
        if _bound(proportion(count, total), upper) < limit:
            low = count + 1
        else:
            high = count
    return {count for count in (*found, low - 1, low, low + 1) if 0 <= count <= total}


def _slices(
    totals: Sequence[int],
    baselines: Sequence[float | None],
    limits: Callable[[float | None], list[Fraction]],
    *,
    upper: bool,
) -> list[Slice]:
    return [
        (count, total, baseline)
        for baseline in baselines
        for total in totals
        for count in sorted({count for limit in limits(baseline) for count in _counts(total, limit, upper=upper)})
    ]


def _clean() -> list[Slice]:
    def limits(baseline: float | None) -> list[Fraction]:
        fixed = [_decimal(check_limits.FPR_TARGET)]
        if baseline is None:
            return fixed
        decimal_baseline = _decimal(baseline)
        return [
            *fixed,
            decimal_baseline * _decimal(check_limits.FPR_BASELINE_FACTOR),
            decimal_baseline + _decimal(check_limits.FPR_STABILITY_MARGIN),
        ]

    needed = images_needed_to_confirm(check_limits.FPR_TARGET)
    totals = (500, 2_000, needed - 1, needed, 10_000, 10_000_000)
    return _slices(totals, (None, 0.0, 0.0001, 0.001, 0.0011, 0.00431), limits, upper=False)


def _detections() -> list[Slice]:
    def limits(baseline: float | None) -> list[Fraction]:
        fixed = [_decimal(check_limits.DETECTION_FLOOR)]
        return (
            fixed
            if baseline is None
            else [*fixed, _decimal(baseline) * _decimal(check_limits.DETECTION_BASELINE_FACTOR)]
        )

    return _slices((20, 100, 1_000, 10_000), (None, 1.0, 0.99, 0.981, 0.808), limits, upper=True)


def _formats() -> list[Slice]:
    def limits(baseline: float | None) -> list[Fraction]:
        known = check_limits.FORMAT_DEFAULT_BASELINE if baseline is None else baseline
        return [_decimal(known) + _decimal(check_limits.FORMAT_MARGIN)]

    return _slices((100, 10_000, 100_000), (None, 0.0, 0.0001, 0.001, 0.005), limits, upper=False)


def _negatives() -> list[Slice]:
    return _slices((50, 200, 1_000, 3_000), (None,), lambda _: [_decimal(check_limits.NEGATIVES_LIMIT)], upper=False)


def _latencies() -> list[tuple[LatencyQuantile | None, float | None]]:
    cases: list[tuple[LatencyQuantile | None, float | None]] = [(None, 0.0034)]
    for baseline in (None, 0.0021, 0.0034, 0.0043):
        limits = [_decimal(check_limits.LATENCY_LIMIT_SECONDS)]
        if baseline is not None:
            limits.append(_decimal(baseline) * _decimal(check_limits.LATENCY_BASELINE_FACTOR))
        for limit in limits:
            around = [float(limit * (1 + Fraction(step, 10**6))) for step in (-1, 0, 1)]
            for seconds in around:
                for lower in (None, *(one for one in around if one <= seconds)):
                    cases.append((LatencyQuantile(check_limits.LATENCY_QUANTILE, seconds, lower, None), baseline))
    return cases


def _chunks(slices: list[Slice], size: int) -> Iterator[list[Slice]]:
    return (slices[start : start + size] for start in range(0, len(slices), size))


def _cases(role: Role) -> list[Case]:
    """Return one model per entry of the longest list; slices of the shorter lists are empty in the remaining ones."""
    formats: tuple[ImageFormat, ...] = (*FORMATS, "other")
    lists = zip_longest(
        _clean(),
        _chunks(_detections(), len(METHODS)),
        _chunks(_formats(), len(formats)),
        _chunks(_negatives(), 5),
        _latencies(),
    )
    cases = []
    for number, (clean, detections, by_format, negatives, latency) in enumerate(lists):
        count, total, baseline = clean or (0, 0, None)
        by_method = dict(zip(METHODS, detections or (), strict=False))
        formatted = dict(zip(formats, by_format or (), strict=False))
        quantile, baseline_seconds = latency or (None, None)
        base = full_evaluation(model=f"{role}-{number}")
        assert base.latency is not None
        measured = replace(
            base,
            role=role,
            clean=proportion(count, total),
            clean_by_format={name: proportion(one[0], one[1]) for name, one in formatted.items()},
            negatives={f"category-{index}": proportion(one[0], one[1]) for index, one in enumerate(negatives or ())},
            detections={m: proportion(*by_method[m][:2]) if m in by_method else proportion(0, 0) for m in METHODS},
            latency=replace(base.latency, quantiles=() if quantile is None else (quantile,)),
        )
        cases.append(
            Case(
                measured,
                Baseline(
                    false_positive_ratio=baseline,
                    detection_ratios={name: one[2] for name, one in by_method.items() if one[2] is not None},
                    latency_seconds={}
                    if baseline_seconds is None
                    else {check_limits.LATENCY_QUANTILE: baseline_seconds},
                    false_positive_ratio_by_format={n: one[2] for n, one in formatted.items() if one[2] is not None},
                ),
            )
        )
    return cases


def _pairs() -> list[PairedSlice]:
    """Return flips on both sides of the significance level in both directions, too few to reject, and none."""
    found = {(0, 0), (0, 1)}
    for flipped in (7, 8, 20, 101):
        p_values = {count: mcnemar_p_value(count, flipped - count) or 1.0 for count in range(flipped // 2 + 1)}
        reject = sum(p_value < check_limits.PAIRED_TEST_LEVEL for p_value in p_values.values())
        found |= {(count, flipped - count) for count in (reject - 1, reject) if count >= 0}
    return [
        PairedSlice(200, fixed, broken, mcnemar_p_value(fixed, broken))
        for one in sorted(found)
        for fixed, broken in (one, one[::-1])
    ]


def _paired_cases() -> list[Case]:
    """Return each outcome of the paired test with ratios that pass, fail, and fail significantly."""
    cases: list[Case] = []
    for pairs in _pairs():
        for wrong, missed in ((0, 0), (2, 6), (50, 50)):
            measured = replace(
                full_evaluation(model=f"production-paired-{len(cases)}"),
                clean=proportion(wrong, 500),
                detections={method: proportion(100 - missed, 100) for method in METHODS},
            )
            broken = PairedSlice(200, 0, 100, mcnemar_p_value(0, 100))
            comparisons = tuple(
                PairedComparison(measured.id, against, "", dict.fromkeys(("clean", *METHODS), one), 0)
                for against, one in ((AGAINST, pairs), (PREVIOUS, broken))
            )
            baseline = Baseline(false_positive_ratio=0.001, detection_ratios=dict.fromkeys(METHODS, 0.99))
            cases.append(Case(measured, baseline, comparisons))
    return cases


def _snapshot(cases: Sequence[Case]) -> Snapshot:
    models = {
        case.measured.model: ModelState(
            name=case.measured.model,
            role=case.measured.role,
            file="model.onnx",
            decision="plain",
            baseline=case.baseline,
        )
        for case in cases
    }
    runs = {
        (case.measured.model, case.measured.dataset): RunState(evaluation=case.measured, comparisons=case.comparisons)
        for case in cases
    }
    datasets = {name: DatasetState(name) for _, name in runs}
    return replace(empty_snapshot(), models=models, datasets=datasets, runs=runs)


def _rules_without_annotations() -> dict[str, Any]:
    groups = []
    for name in FILES:
        groups += yaml.safe_load((RULES / name).read_text(encoding="utf-8"))["groups"]
    for group in groups:
        for rule in group["rules"]:
            del rule["annotations"]
    return {"groups": groups}


def _series(snapshot: Snapshot, wanted: set[str]) -> list[dict[str, str]]:
    """Return the input series for promtool with samples every 5 minutes."""
    found = []
    for metric in StarlightCollector(lambda: snapshot).collect():
        for sample in metric.samples:
            if sample.name in wanted:
                labels = {"job": "starlight-exporter", "instance": "exporter:9877", **sample.labels}
                matchers = ",".join(f'{name}="{value}"' for name, value in labels.items())
                found.append({"series": f"{sample.name}{{{matchers}}}", "values": f"{sample.value!r}x4"})
    return found


def _severities(check: CheckResult, measured: Evaluation, *, later: bool) -> set[str]:
    """Return the severities that must fire. Warning fires with critical; Alertmanager inhibits it."""
    if check.severity is None:
        return set()
    if check.severity == "critical":
        if check.name.startswith("latency") and not later:
            return {"warning"}
        needed = images_needed_to_confirm(check_limits.FPR_TARGET)
        return {"critical"} if check.name == "fpr_target" and measured.clean.total < needed else {"warning", "critical"}
    return {check.severity}


def _labels(check: CheckResult, measured: Evaluation, severity: str) -> dict[str, str]:
    labels = {"job": "starlight-exporter", "instance": "exporter:9877", "severity": severity}
    labels |= {"model": measured.model, "dataset": measured.dataset}
    if check.name.startswith("latency"):
        return labels | {"quantile": f"{check_limits.LATENCY_QUANTILE:g}"}
    return labels | ({SLICE_LABEL[check.name.split("_")[0]]: check.slice} if check.slice else {})


@pytest.fixture(scope="module")
def checked_cases() -> list[tuple[Case, CheckResult]]:
    """Every case of a production model with each of its check results."""
    return [(case, one) for case in (*_cases("production"), *_paired_cases()) for one in case.checks()]


def test_cases_cover_every_severity_and_limit_of_every_check(checked_cases: list[tuple[Case, CheckResult]]) -> None:
    assert set(ALERT_OF) | NO_ALERT == set(check_limits.CHECK_NAMES)
    for name in ALERT_OF:
        severities = {check.severity for _, check in checked_cases if check.name == name and check.passed is not None}
        assert severities >= {None, "warning", "critical"}, name
    assert any(check.severity == "info" for _, check in checked_cases if check.name == "fpr_target")
    on_the_limit: dict[CheckName, Operator] = {}
    for _, check in checked_cases:
        if check.value is not None and check.value == check.limit:
            on_the_limit[check.name] = ">=" if check.passed is False else ">"
    assert set(on_the_limit) >= set(ALERT_OF)


def test_cases_cover_both_sides_of_the_paired_test(checked_cases: list[tuple[Case, CheckResult]]) -> None:
    """Some failed checks are critical only by the paired test, and others just miss its level."""
    for name in ("fpr_baseline", "fpr_stability", "detection_baseline"):
        seen: dict[str | None, list[float]] = {"warning": [], "critical": []}
        for case, one in checked_cases:
            if one.name == name and case.comparisons and one.passed is False and one.significant is False:
                pairs = case.comparisons[0].slices[one.slice or "clean"]
                if pairs.broken > pairs.fixed and pairs.p_value is not None:
                    seen[one.severity].append(pairs.p_value)
        assert 0.005 < max(seen["critical"]) < check_limits.PAIRED_TEST_LEVEL < min(seen["warning"]) < 0.02


@pytest.mark.usefixtures("release")
def test_checks_and_alerts_agree(checked_cases: list[tuple[Case, CheckResult]], tmp_path: Path) -> None:
    rules = _rules_without_annotations()
    wanted = {one.metric for group in rules["groups"] for rule in group["rules"] for one in selectors(rule["expr"])}
    expected: dict[tuple[str, str], list[dict[str, Any]]] = {
        (time, alert): [] for time in (IMMEDIATELY, LATER) for alert in ALERT_OF.values()
    }
    for case, check in checked_cases:
        if check.name not in NO_ALERT:
            for time in (IMMEDIATELY, LATER):
                for severity in sorted(_severities(check, case.measured, later=time == LATER)):
                    labels = _labels(check, case.measured, severity)
                    expected[time, ALERT_OF[check.name]].append({"exp_labels": labels})
    # Models of other roles with the same values must not fire any alert.
    others = [*_cases("research"), *_cases("baseline")[::20]]
    assert AGAINST in {case.measured.model for case in others}
    cases = [*{case.measured.model: case for case, _ in checked_cases}.values(), *others]
    test = {
        "rule_files": ["rules.yml"],
        "evaluation_interval": "5m",
        "tests": [
            {
                "interval": "5m",
                "input_series": _series(_snapshot(cases), wanted),
                "alert_rule_test": [
                    {"eval_time": time, "alertname": alert, "exp_alerts": alerts}
                    for (time, alert), alerts in expected.items()
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
