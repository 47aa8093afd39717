"""Terminal tables and JSON of one evaluation."""

from __future__ import annotations

import io
import json
from dataclasses import replace

import pytest
from rich.console import Console
from rich.table import Table

from starlight_exporter.checks.basis import basis_without_baseline
from starlight_exporter.checks.checks import run_checks
from starlight_exporter.checks.results import CheckResult
from starlight_exporter.cli.console import progress_bar
from starlight_exporter.cli.variants import transposed
from starlight_exporter.evaluation.serialisation import from_json
from starlight_exporter.models.cards import Origin
from starlight_exporter.publish.evaluation_report import failed_checks_table, metrics_json, metrics_table, report_rows
from starlight_exporter.statistics.intervals import proportion
from support.results import empty_evaluation, p95_latency
from support.snapshots import basis_of, full_evaluation


def shown(table: Table) -> str:
    console = Console(file=io.StringIO(), width=200)
    console.print(table)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_rates_have_value_interval_and_counts() -> None:
    by_name = {row.name: row for row in report_rows(empty_evaluation(clean=proportion(3, 4000)))}
    clean = by_name["clean images"]
    assert (clean.value, clean.interval, clean.images) == ("0.075%", "0.02–0.22%", "3 of 4,000")


def test_missing_values_are_reported_as_not_measured() -> None:
    by_name = {row.name: row for row in report_rows(empty_evaluation())}
    for name in (
        "clean images",
        "lsb",
        "all methods",
        "ROC AUC",
        "log loss",
        "latency",
        "bulk pass",
        "training log",
        "embedding rate",
    ):
        assert by_name[name].value == "not measured", name
        assert by_name[name].interval == ""


def test_figures_of_merit_have_an_interval_or_a_reason() -> None:
    rows = {row.name: row for row in report_rows(full_evaluation()) if row.section == "Figures of merit"}
    assert len(rows) == 7
    assert (rows["P_E"].value, rows["P_E"].interval, rows["P_E"].images) == ("1.25%", "0.62–1.88%", "5,000")
    assert (rows["weighted AUC"].value, rows["weighted AUC"].interval) == ("0.9985", "0.4993–1.0000")
    missing = rows["detection at 0.1% FPR"]
    assert (missing.value, missing.interval) == ("not measured", "requires 2,000 clean images")


def test_quantile_is_not_measured_if_the_sample_is_too_small() -> None:
    by_name = {row.name: row for row in report_rows(empty_evaluation(latency=p95_latency(0.004, lower=0.0035)))}
    assert by_name["latency p95"].value == "4.00 ms"
    assert by_name["latency p95"].interval == "≥ 3.50 ms"
    assert by_name["latency p99"].value == "not measured"


def test_embedding_rate_at_a_level_has_its_interval_or_the_reason() -> None:
    rows = {row.name: row for row in report_rows(full_evaluation()) if row.section == "Payload"}
    half, most, always = (rows[name] for name in ("50% lsb detected", "95% lsb detected", "50% eoi detected"))
    assert (half.value, half.interval, half.images) == ("0.0388 bits per pixel", "0.0121–0.0972", "180")
    assert most.interval == "from 0.0121"
    assert (always.value, always.interval) == ("always above", "")


def test_table_shows_every_row_and_escapes_names() -> None:
    result = replace(
        full_evaluation(),
        model="[red]odd[/red]",
        negatives={"[b]x": proportion(0, 4)},
        origin=Origin("[/b]", "eight bits [int8]", own_card=True),
    )
    text = shown(metrics_table(result))
    assert "([/b]: eight bits [int8])" in text
    assert "[red]odd[/red] on reference" in text
    assert "negative [b]x" in text
    for row in report_rows(result):
        assert row.name in text
        assert row.value in text


def test_names_are_escaped_in_progress_and_tables(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_bar("v4 on photos [/b] [int8]") as progress:
        progress(1, 1)
    assert "v4 on photos [/b] [int8]" in capsys.readouterr().err
    text = shown(transposed(["", "[b]a"], [["[/i]", "[int8]"]], "2 models on [/b]"))
    for name in ("[b]a", "[/i]", "[int8]", "2 models on [/b]"):
        assert name in text


def test_failed_checks_are_listed_with_result_and_severity() -> None:
    result = replace(full_evaluation(), clean=proportion(40, 1_000), latency=None, latency_ratio=None)
    checks = run_checks(result, basis_without_baseline(result, None))
    rows = [
        [cell.strip() for cell in line.split("│")[1:-1]] for line in shown(failed_checks_table(checks)).splitlines()
    ]
    failed = [row[:4] for row in rows if len(row) == 5 and row[0]]
    assert ["fpr_target", "", "fail (significant)", "critical"] in failed
    assert ["detection_floor", "eoi", "fail (not significant)", "warning"] in failed
    assert ["detection_target", "exif", "fail (significant)", "info"] in failed
    assert len(failed) == sum(check.passed is False for check in checks)


def test_checks_are_counted_by_conclusion() -> None:
    detail = "5.00% (1 of 20)"
    a_check = CheckResult("fpr_target", "", 0.05, 0.01, True, False, detail)
    not_measured = replace(a_check, passed=None, significant=None)
    text = shown(
        failed_checks_table(
            [
                *[replace(a_check, conclusive=True)] * 7,
                *[replace(a_check, conclusive=False)] * 6,
                *[replace(a_check, passed=False)] * 5,
                *[replace(a_check, passed=False, significant=True)] * 4,
                *[replace(not_measured, unavailable="no_images")] * 3,
                *[replace(not_measured, unavailable="different_rule")] * 2,
            ]
        )
    )
    assert " ".join(text.split()).endswith(
        "7 pass, 6 pass (inconclusive), 5 fail (not significant), 4 fail (significant), 3 not measured,"
        " 2 not comparable"
    )
    assert text.count(detail) == 9


def test_stored_checks_of_earlier_releases_have_a_result() -> None:
    stored = CheckResult("fpr_target", "", 0.05, 0.01, True, None, "")
    assert shown(failed_checks_table([stored])).strip().endswith("1 pass")


def test_metrics_json_contains_evaluation_and_checks() -> None:
    checks = run_checks(full_evaluation(), basis_of(full_evaluation()))
    text = metrics_json(full_evaluation(), checks)
    assert from_json(text) == full_evaluation()
    content = json.loads(text)
    assert [one["conclusion"] for one in content["regression_checks"]] == [check.conclusion for check in checks]
    assert content["regression_checks"][0]["name"] == "fpr_baseline"
    assert content["clean"]["count"] == 3
