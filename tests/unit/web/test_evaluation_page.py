"""The page of one evaluation: conclusions of the checks, the baseline in use, and the latency ratio."""

from __future__ import annotations

import csv
import io
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from starlight_exporter.checks.baseline import Baseline
from starlight_exporter.checks.basis import basis_against_recorded, basis_without_baseline
from starlight_exporter.checks.checks import run_checks
from starlight_exporter.checks.recorded_parts import RecordedProvenance
from starlight_exporter.runs.application import Application
from starlight_exporter.statistics.clustered import ClusterCounts, clustered_proportion
from starlight_exporter.statistics.latency_ratio import LatencyRatio
from support.snapshots import FINISHED_AT, empty_snapshot
from support.status import BUSY, RATIO, Evaluated, evaluated, show
from support.web import LocalServer, idle_application

BASELINE = evaluated("baseline", "baseline", latency_ratio=None, finished_at=FINISHED_AT - 900)
PRODUCTION = evaluated("production", "production", false_positives=2, missed={"palette": 102})
TIMED = "Timed from file to verdict: read, decode, features and inference, of files that were read once before."


@pytest.fixture
def application(tmp_path: Path) -> Application:
    application = idle_application(tmp_path, empty_snapshot())
    show(application, BASELINE)
    return application


class EvaluationPage:
    """The page of an evaluation as text of its HTML, JSON and CSV."""

    def __init__(self, application: Application, evaluated: Evaluated) -> None:
        with LocalServer(application) as served:
            address = f"{served.url}/evaluations/{evaluated.evaluation.id}"
            self.html = httpx.get(address, headers={"Accept": "text/html"}).raise_for_status().text
            self.json = httpx.get(f"{address}.json").raise_for_status().json()
            self._csv = {
                table: httpx.get(f"{address}.csv?table={table}").raise_for_status().text
                for table in ("slices", "checks", "latency-ratio")
            }
        self.text = " ".join(re.sub(r"<[^>]+>", "", self.html).split())

    def rows(self, table: str) -> list[dict[str, str]]:
        return list(csv.DictReader(io.StringIO(self._csv[table])))

    def slices(self) -> dict[str, dict[str, Any]]:
        return {row["slice"]: row for group in self.json["slices"].values() for row in group}


def test_page_begins_with_the_failed_checks(application: Application) -> None:
    show(application, PRODUCTION)
    page = EvaluationPage(application, PRODUCTION)
    beginning = page.html.partition("<section>")[0]
    assert '<li class="bad">' in beginning
    assert "detection below floor: " in beginning
    assert beginning.index("detection below floor") < beginning.index("checks are inconclusive")
    passing = EvaluationPage(application, BASELINE)
    assert "<li" not in passing.html.partition("<main")[2].partition("<section>")[0]


def test_rates_and_checks_have_the_same_conclusion(application: Application) -> None:
    show(application, PRODUCTION, BASELINE)
    page = EvaluationPage(application, PRODUCTION)
    checks = {(one["name"], one["slice"]): one for one in page.json["checks"]}
    for name, row in page.slices().items():
        if row["check"] is None:
            assert (name, row["result"], row["limit"]) == ("all stego images", None, None)
            continue
        check = checks[row["check"], "" if name == "all clean images" else name]
        assert (row["result"], row["limit"]) == (check["conclusion"], check["limit"])
    assert [row["result"] for row in page.rows("slices")] == [row["result"] or "" for row in page.slices().values()]
    assert {one["conclusion"] for one in page.json["checks"]} == {
        "pass",
        "pass (inconclusive)",
        "fail (not significant)",
        "fail (significant)",
    }
    (floor,) = (row for row in page.rows("checks") if (row["check"], row["slice"]) == ("detection_floor", "palette"))
    assert (floor["conclusion"], floor["conclusive"], floor["unavailable"]) == ("fail (significant)", "True", "")
    assert float(floor["adjusted_p_value"]) < 1e-20
    # An informational failure is not red.
    (target,) = re.findall(r"<tr><th[^>]*><a[^>]*>detection target</a></th><td[^>]*>palette</td>.*?</tr>", page.html)
    assert 'class="warn"' in target
    assert 'class="bad"' not in target
    assert "worse than the baseline (p &lt; 0.001)" in page.html


def test_inconclusive_pass_has_the_sample_size_for_a_conclusion(application: Application) -> None:
    healthy = evaluated("production", "production")
    show(application, healthy, BASELINE)
    page = EvaluationPage(application, healthy)
    assert page.slices()["all clean images"]["more_images_needed"] == 6_376
    assert page.slices()["lsb"]["more_images_needed"] == 208
    assert page.slices()["all stego images"]["more_images_needed"] is None
    assert "pass (inconclusive) needs about 7,376 images" in page.text
    count = [one["conclusion"] for one in page.json["checks"]].count("pass (inconclusive)")
    assert f"{count} of 22 checks are inconclusive with 2,000 images" in page.text


def test_sample_size_counts_covers_if_images_share_them(application: Application) -> None:
    shared = clustered_proportion(ClusterCounts.of([4] * 250, [0] * 250))
    result = evaluated("production", "production")
    result = replace(result, evaluation=replace(result.evaluation, clean=shared))
    show(application, result, BASELINE)
    page = EvaluationPage(application, result)
    assert "needs about 29,504 images from 7,376 covers" in page.text
    assert "about 29,504 clean images from 7,376 covers would decide the false positive target" in page.text


def test_baseline_model_is_named_with_its_evaluation(application: Application) -> None:
    show(application, PRODUCTION, BASELINE)
    page = EvaluationPage(application, PRODUCTION)
    assert page.json["baseline"] == {
        "name": "baseline",
        "evaluation": BASELINE.evaluation.id,
        "file": "",
        "rates_obstacle": "",
        "latency_obstacle": "",
        "same_verdicts": False,
    }
    assert f'Baseline: <a href="/evaluations/{BASELINE.evaluation.id}">baseline</a>. Rates are comparable.' in page.html
    assert EvaluationPage(application, BASELINE).json["baseline"] == {"reason": "this model is the baseline"}


def test_missing_baseline_states_the_reason(tmp_path: Path) -> None:
    application = idle_application(tmp_path, empty_snapshot())
    show(application, PRODUCTION)
    basis = basis_without_baseline(PRODUCTION.evaluation, PRODUCTION.predictions, "baseline does not load <yet>")
    run = replace(application.state.snapshot.runs["production", "reference"], basis=basis)
    application.state.update(lambda snapshot: snapshot.with_run("production", "reference", run))
    page = EvaluationPage(application, PRODUCTION)
    assert page.json["baseline"] == {"reason": "baseline does not load <yet>"}
    assert "Baseline: baseline does not load &lt;yet&gt;." in page.html


def test_incomparable_baseline_states_the_reason(application: Application) -> None:
    other_images = evaluated("production", "production", fingerprint="e" * 64)
    show(application, other_images, BASELINE)
    page = EvaluationPage(application, other_images)
    reason = "the baseline was evaluated on different images (dataset fingerprints 9a8b7c6d5e4f and eeeeeeeeeeee)"
    assert page.json["baseline"]["rates_obstacle"] == reason
    assert f"Not comparable: {reason}." in page.text
    assert {one["conclusion"] for one in page.json["checks"] if one["name"] == "fpr_baseline"} == {"not comparable"}


@pytest.mark.parametrize(
    ("fingerprint", "decision", "text"),
    [
        (
            None,
            None,
            "Rates are comparable. Latencies are not comparable: the recorded baseline does not describe its machine.",
        ),
        (None, "probability > 0.7", "Not comparable: the baseline was recorded with another decision rule ("),
        ("e" * 64, None, "Not comparable: the baseline was recorded on other images ("),
    ],
)
def test_recorded_baseline_states_its_file_and_why_it_is_not_comparable(
    tmp_path: Path, fingerprint: str | None, decision: str | None, text: str
) -> None:
    file = tmp_path / "starlight.yml"
    application = idle_application(tmp_path)
    file.write_text(file.read_text() + "baseline: recorded.json\n")
    (tmp_path / "recorded.json").write_text(json.dumps({"fpr": 0.1}))
    application.reload()
    result = PRODUCTION.evaluation
    spec = RecordedProvenance(
        model_sha256="d" * 64,
        dataset_fingerprint=fingerprint or result.provenance.dataset_fingerprint,
        decision=decision or result.provenance.decision,
    )
    recorded = Baseline(false_positive_ratio=0.001, provenance=spec)
    basis = basis_against_recorded(result, PRODUCTION.predictions, recorded)
    show(application, PRODUCTION)
    run = replace(
        application.state.snapshot.runs["production", "reference"], basis=basis, checks=run_checks(result, basis)
    )
    application.state.update(lambda snapshot: snapshot.with_run("production", "reference", run))
    page = EvaluationPage(application, PRODUCTION)
    assert "Baseline: recorded baseline (recorded.json). " in page.text
    assert text in page.text


def test_earlier_evaluation_does_not_claim_a_baseline(application: Application) -> None:
    show(application, PRODUCTION, BASELINE)
    show(application, evaluated("production", "production", finished_at=FINISHED_AT + 60), BASELINE)
    page = EvaluationPage(application, PRODUCTION)
    assert list(page.json["baseline"]) == ["reason"]
    assert "known for the current evaluation only" in page.json["baseline"]["reason"]


@pytest.mark.parametrize(
    ("ratio", "expected"),
    [
        (RATIO, "1.030 × by wall time (99% CI 0.980–1.090 ×; 1,000 timings each)"),
        (BUSY, "1.020 × by CPU time (99% CI 0.980–1.070 ×; 1,000 timings each)"),
        (replace(RATIO, timings=400), "(99% CI 0.980–1.090 ×; 400 timings each, too few for a significant result)"),
        (None, "The baseline model was not timed in the same run, so there is no ratio."),
    ],
)
def test_latency_states_what_is_timed_and_its_ratio(
    application: Application, ratio: LatencyRatio | None, expected: str
) -> None:
    result = evaluated("production", "production", latency_ratio=ratio)
    show(application, result, BASELINE)
    page = EvaluationPage(application, result)
    assert TIMED in page.text
    assert expected in page.text
    assert ("Machine busy. Contention 37.00%" in page.text) == (ratio is BUSY)
    assert ("the absolute limit is not checked" in page.text) == (ratio is BUSY)
    rows = [(row["clock"], row["in_use"], row["ratio"]) for row in page.rows("latency-ratio")]
    if ratio is None:
        assert rows == []
    else:
        used = "cpu" if ratio is BUSY else "wall"
        assert rows == [(clock, str(clock == used), str(getattr(ratio, clock).value)) for clock in ("wall", "cpu")]


def test_checks_of_a_dataset_without_alerts_have_no_colour(application: Application) -> None:
    show(application, PRODUCTION, BASELINE, alerts=False)
    page = EvaluationPage(application, PRODUCTION)
    assert "Failed checks on this dataset do not alert." in page.text
    assert 'class="bad"' not in page.html
    assert "fail (significant)" in page.text
