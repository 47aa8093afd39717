"""The status page: order, summary, failed checks that alert, folded checks and colours."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import httpx
import pytest

from starlight_exporter.checks.alerts import ALERT_NAMES
from starlight_exporter.checks.baseline import Baseline
from starlight_exporter.checks.basis import basis_against_recorded
from starlight_exporter.checks.checks import run_checks
from starlight_exporter.checks.limits import CHECK_NAMES
from starlight_exporter.checks.recorded_parts import RecordedProvenance
from starlight_exporter.detector.contract import Method
from starlight_exporter.publish.snapshot import Outcome
from starlight_exporter.runs.application import Application
from starlight_exporter.runs.finished_run import FinishedRun
from starlight_exporter.web.pages.check_groups import FAILURE_TEXTS
from support.snapshots import FINISHED_AT, empty_snapshot
from support.status import evaluated, show, show_unloadable
from support.web import LocalServer, idle_application

REPOSITORY = Path(__file__).resolve().parents[3]
SAME_FILE = "5" * 64
UNKNOWN_INPUT = "input exif_stream is unknown; expected only <pixel_tensor>"
WORSE: dict[Method, int] = {"palette": 102, "exif": 15}


class Elements(HTMLParser):
    """Collects the classes of all elements, and the text of the page with one space between elements."""

    def __init__(self) -> None:
        super().__init__()
        self.classes: set[str] = set()
        self.text = ""

    def handle_starttag(self, _tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.classes |= set((dict(attrs).get("class") or "").split())

    def handle_data(self, data: str) -> None:
        self.text = " ".join(f"{self.text} {data}".split())


class Site:
    """The status page of an application: its elements and its JSON and CSV forms."""

    def __init__(self, application: Application) -> None:
        with LocalServer(application) as served:
            self.html = httpx.get(served.url, headers={"Accept": "text/html"}).raise_for_status().text
            self.json = httpx.get(f"{served.url}/status.json").raise_for_status().json()
            self.csv = {
                table: list(csv.DictReader(io.StringIO(httpx.get(f"{served.url}/status.csv?table={table}").text)))
                for table in ("matrix", "alerts")
            }
        elements = Elements()
        elements.feed(self.html)
        self.classes, self.text = elements.classes, elements.text

    def cell(self, model: str, dataset: str = "reference") -> dict[str, object]:
        (found,) = (one for one in self.json["cells"] if (one["model"], one["dataset"]) == (model, dataset))
        return dict(found)


@pytest.fixture
def application(tmp_path: Path) -> Application:
    """Return an application with a baseline without errors."""
    application = idle_application(tmp_path, empty_snapshot())
    show(application, BASELINE)
    return application


BASELINE = evaluated("baseline", "baseline", sha256=SAME_FILE, latency_ratio=None, finished_at=FINISHED_AT - 900)
HEALTHY = evaluated("production", "production", sha256=SAME_FILE)
FAILING = evaluated("production", "production", false_positives=2, missed=WORSE)


def test_healthy_model_is_green_and_its_checks_are_folded(application: Application) -> None:
    show(application, HEALTHY, BASELINE)
    site = Site(application)
    assert site.json["summary"] == {
        "level": "good",
        "text": "production passes all checks on reference; 7 of 22 checks are inconclusive with 2,000 images.",
    }
    assert {"bad", "warn"} & site.classes == set()
    assert (site.cell("production")["level"], site.cell("production")["state"]) == ("good", "all checks pass")
    assert site.cell("production")["conclusions"] == {
        "pass": 15,
        "pass (inconclusive)": 7,
        "fail (not significant)": 0,
        "fail (significant)": 0,
        "not measured": 0,
        "not comparable": 0,
    }
    assert site.cell("production")["false_positive_target"] == {"result": "pass (inconclusive)", "more_images": 6376}
    assert site.json["alerts"] == site.csv["alerts"] == []
    # One sentence per cell, none per check.
    (cell, _) = re.findall(r'<td class="cell.*?</td>', site.html, re.DOTALL)
    assert cell.count("inconclusive with") == 1
    assert "(about 7,376 clean images would decide the false positive target" in cell
    before, folded = cell.split("<details>")
    assert "detection floor" not in before
    assert "detection floor" in folded


def test_baseline_states_that_it_is_the_baseline(application: Application) -> None:
    cell = Site(application).cell("baseline")
    assert (cell["level"], cell["state"]) == ("good", "all measured checks pass")
    assert cell["unavailable"] == ["not measured (8 checks): this model is the baseline"]


def test_significant_failures_are_red_and_listed_first(application: Application) -> None:
    show(application, FAILING, BASELINE)
    site = Site(application)
    assert site.json["summary"] == {
        "level": "bad",
        "text": "production fails significantly on reference: detection below baseline (palette, exif), detection below"
        " floor (palette); 5 more checks fail, not significantly.",
    }
    assert site.cell("production")["state"] == "3 checks fail significantly, 5 not significantly"
    alerts = [(one["alert"], one["severity"], one["check"], one["slice"]) for one in site.json["alerts"]]
    assert alerts == [
        ("StarlightDetectionBelowBaseline", "critical", "detection_baseline", "palette"),
        ("StarlightDetectionBelowBaseline", "critical", "detection_baseline", "exif"),
        ("StarlightDetectionBelowFloor", "critical", "detection_floor", "palette"),
        ("StarlightFalsePositivesAboveBaseline", "warning", "fpr_baseline", ""),
        ("StarlightFalsePositivesUnstable", "warning", "fpr_stability", ""),
        ("StarlightFalsePositiveTargetMissed", "warning", "fpr_target", ""),
        ("StarlightDetectionBelowFloor", "warning", "detection_floor", "exif"),
        ("StarlightFormatInconsistent", "warning", "format_consistency", "png"),
    ]
    assert site.html.count("detection_target") == 0
    first = site.json["alerts"][0]
    assert first["images"] == f"/evaluations/{FAILING.evaluation.id}/misclassified?class=stego&method=palette"
    assert first["runbook"] == "/runbooks/StarlightDetectionBelowBaseline.md"
    assert (first["value"], first["limit"]) == (58 / 160, 0.95)
    assert 0 < first["adjusted_p_value"] < 1e-20
    assert [one["slice"] for one in site.csv["alerts"]] == [one["slice"] for one in site.json["alerts"]]
    # One line for all slices of a check.
    line = "detection below baseline: palette 36.25% (p < 0.001) , exif 90.62% (p < 0.001) ; limit 95.00%"
    assert site.text.count(f"{line}; worse than the baseline") == 1
    assert site.text.count("detection below floor: palette 36.25% (p < 0.001) ; limit 95.00%; significant") == 1
    warning = r"false positive target missed: 0\.20% \(p = [01]\.\d{3}\) ; limit 0\.05%; not significant"
    assert len(re.findall(warning, site.text)) == 1


def test_failures_that_are_not_significant_are_not_red(application: Application) -> None:
    show(application, evaluated("production", "production", false_positives=2), BASELINE)
    site = Site(application)
    assert site.json["summary"]["level"] == "warn"
    assert site.json["summary"]["text"] == (
        "production fails on reference, not significantly: false positive rate above baseline, false positive rate"
        " above baseline + margin, false positive target missed, false positive rate of a format above baseline +"
        " margin (png)."
    )
    assert "bad" not in site.classes
    assert {one["severity"] for one in site.json["alerts"]} == {"warning"}


def test_informational_failure_does_not_count(application: Application) -> None:
    show(application, evaluated("production", "production", missed={"lsb": 2}), BASELINE)
    site = Site(application)
    assert site.json["summary"]["level"] == "good"
    assert site.json["summary"]["text"].startswith("production passes all checks on reference; 9 of 21 checks are")
    assert site.cell("production")["state"] == "all checks pass"
    assert site.cell("production")["failed_checks"] == []
    assert "detection target missed (informational): lsb 98.75%" in site.text


def test_bad_research_model_has_one_line_per_check_and_does_not_alert(application: Application) -> None:
    show(application, HEALTHY, BASELINE)
    show(application, evaluated("worse", false_positives=400, missed=120, wrong_negatives=100), BASELINE)
    site = Site(application)
    assert site.json["summary"]["level"] == "good"
    assert site.json["alerts"] == []
    (cell,) = (one for one in re.findall(r'<td class="cell.*?</td>', site.html, re.DOTALL) if 'class="cell bad"' in one)
    assert cell.split("<details>")[0].count("<li") == 7
    failed = site.cell("worse")["failed_checks"]
    assert isinstance(failed, list)
    assert len(failed) == 15
    assert {one["check"]["conclusion"] for one in failed} == {"fail (significant)"}


def test_models_are_sorted_by_role_then_by_severity(application: Application) -> None:
    show(application, evaluated("fine", sha256=SAME_FILE), BASELINE)
    show_unloadable(application, "broken", "research", UNKNOWN_INPUT)
    show(application, evaluated("warned", false_positives=2), BASELINE)
    show(application, evaluated("bad", missed={"lsb": 60}), BASELINE)
    show(application, evaluated("worst", missed=60), BASELINE)
    show(application, HEALTHY, BASELINE)
    site = Site(application)
    order = ["production", "baseline", "worst", "bad", "warned", "broken", "fine"]
    assert [one["model"] for one in site.json["cells"]] == order
    assert [one["model"] for one in site.csv["matrix"]] == order
    assert re.findall(r'<th scope="row">(\w+)<br>', site.html) == order


def test_model_that_does_not_load_states_the_cause(application: Application) -> None:
    show_unloadable(application, "production", "production", UNKNOWN_INPUT)
    site = Site(application)
    assert site.json["summary"] == {"level": "warn", "text": f"production does not load: {UNKNOWN_INPUT}."}
    cell = site.cell("production")
    assert (cell["level"], cell["state"]) == ("warn", f"does not load: {UNKNOWN_INPUT}")
    assert cell["load_error"] == site.csv["matrix"][0]["load_error"] == UNKNOWN_INPUT
    assert "<pixel_tensor>" not in site.html
    assert "&lt;pixel_tensor&gt;" in site.html
    assert "bad" not in site.classes


def test_new_file_that_does_not_load_keeps_the_results_of_the_previous_file(application: Application) -> None:
    show(application, HEALTHY, BASELINE)
    changes = {"last_load_successful": False, "last_failure": "invalid", "last_failure_detail": "not an ONNX model"}
    update(application, "production", **changes)
    site = Site(application)
    assert site.json["summary"]["text"].endswith("; its new file does not load: not an ONNX model.")
    assert site.cell("production")["state"] == "all checks pass; the new file does not load"
    assert "These results are those of the previous file." in site.text
    update(application, "production", last_load_successful=True)
    assert "does not load" not in Site(application).text


def test_dataset_without_alerts_has_no_colour(application: Application) -> None:
    show(application, HEALTHY, BASELINE)
    field = evaluated("baseline", "baseline", dataset="field")
    show(application, evaluated("production", "production", dataset="field", missed=60), field, alerts=False)
    site = Site(application)
    assert site.json["summary"]["level"] == "good"
    assert "field" not in site.json["summary"]["text"]
    assert site.json["alerts"] == []
    assert {"bad", "warn"} & site.classes == set()
    cell = site.cell("production", "field")
    assert (cell["alerts"], cell["level"]) == (False, "quiet")
    assert cell["state"] == "10 checks fail significantly"
    matrix, _, others = site.text.partition("Datasets without alerts")
    assert "on field" not in matrix
    assert "10 checks fail significantly; evaluated" in others


def test_incomparable_checks_state_the_reason(application: Application) -> None:
    other_images = evaluated("production", "production", fingerprint="e" * 64)
    show(application, other_images, BASELINE)
    cell = Site(application).cell("production")
    assert cell["unavailable"] == [
        "not comparable (7 checks): the baseline was evaluated on different images (dataset fingerprints 9a8b7c6d5e4f"
        " and eeeeeeeeeeee)"
    ]
    assert (cell["level"], cell["state"]) == ("good", "all measured checks pass")


def test_recorded_baseline_of_another_rule_states_both_rules(application: Application) -> None:
    production = evaluated("production", "production", latency_ratio=None)
    show(application, production, BASELINE)
    result = production.evaluation
    provenance = RecordedProvenance(
        dataset_fingerprint=result.provenance.dataset_fingerprint, decision="probability > 0.7"
    )
    basis = basis_against_recorded(
        result, production.predictions, Baseline(false_positive_ratio=0.0, provenance=provenance)
    )
    run = replace(application.state.snapshot.runs["production", "reference"], checks=run_checks(result, basis))
    application.state.update(lambda snapshot: snapshot.with_run("production", "reference", run))
    reasons = Site(application).cell("production")["unavailable"]
    assert reasons == [
        "not comparable (8 checks): the baseline was recorded with another decision rule (probability > 0.7; not"
        " probability > 0.5)"
    ]


def test_failed_run_is_not_red(application: Application) -> None:
    show(application, HEALTHY, BASELINE)
    run = replace(application.state.snapshot.runs["production", "reference"], last_run_successful=False)
    application.state.update(lambda snapshot: snapshot.with_run("production", "reference", run))
    ended: list[tuple[Outcome, str]] = [("error", "old"), ("error", "no such folder <a>"), ("cancelled", "")]
    for number, (outcome, error) in enumerate(ended):
        application.state.record(
            FinishedRun("", "production", "reference", "schedule", outcome, number, number + 0.5, error)
        )
    site = Site(application)
    assert site.cell("production")["state"] == "all checks pass; the last run failed"
    assert site.cell("production")["run_error"] == "no such folder <a>"
    assert "The last run failed: no such folder &lt;a&gt;" in site.html
    assert site.json["summary"]["text"].endswith("; its last run failed: no such folder <a>.")
    run = replace(run, evaluation=None, checks=(), basis=None)
    application.state.update(lambda snapshot: snapshot.with_run("production", "reference", run))
    text = "production is not measured on reference; its last run failed: no such folder <a>."
    assert Site(application).json["summary"] == {"level": "warn", "text": text}
    assert "bad" not in site.classes


@pytest.mark.parametrize(
    ("prepare", "text"),
    [
        (lambda _: None, "No production model is configured."),
        (lambda app: show(app, HEALTHY, BASELINE, alerts=False), "No dataset has alerts, so no check alerts."),
    ],
)
def test_summary_without_alerting_results(
    application: Application, prepare: Callable[[Application], None], text: str
) -> None:
    prepare(application)
    assert Site(application).json["summary"]["text"] == text


def test_summary_has_one_clause_per_dataset_with_alerts(application: Application) -> None:
    show(application, HEALTHY, BASELINE)
    field = evaluated("baseline", "baseline", dataset="field")
    show(application, evaluated("production", "production", dataset="field", missed={"lsb": 60}), field)
    summary = Site(application).json["summary"]
    assert summary["level"] == "bad"
    assert summary["text"].startswith("production passes all checks on reference; ")
    assert summary["text"].endswith(
        "; production fails significantly on field: detection below baseline (lsb), detection below floor (lsb)."
    )


def test_list_of_evaluations_is_red_for_significant_failures_only(application: Application) -> None:
    show(application, evaluated("warned", false_positives=2), BASELINE)
    show(application, FAILING, BASELINE)
    field = evaluated("production", "production", dataset="field", missed=60)
    show(application, field, evaluated("baseline", "baseline", dataset="field"), alerts=False)
    with LocalServer(application) as served:
        text = httpx.get(f"{served.url}/evaluations", headers={"Accept": "text/html"}).text
        rows = httpx.get(f"{served.url}/evaluations.json").json()["evaluations"]
    shown = re.findall(r'data-label="checks"><span class="(\w+)"><span.*?</span> ([^<]*)</span>', text)
    assert dict(shown) == {
        "bad": "8 failed, 3 significantly",
        "quiet": "10 failed, 10 significantly",
        "warn": "4 failed, none significantly",
        "good": "none failed",
    }
    assert {(row["model"], row["dataset"]): row["significant_checks"] for row in rows} == {
        ("production", "reference"): 3,
        ("production", "field"): 10,
        ("warned", "reference"): 0,
        ("baseline", "reference"): 0,
    }


def test_every_check_has_a_text_and_every_alert_a_runbook() -> None:
    assert set(FAILURE_TEXTS) == set(CHECK_NAMES)
    for alert in ALERT_NAMES.values():
        assert (REPOSITORY / "alerting" / "runbooks" / f"{alert}.md").is_file()


def update(application: Application, model: str, **changes: object) -> None:
    state = replace(application.state.snapshot.models[model], **changes)  # type: ignore[arg-type]
    application.state.update(lambda snapshot: snapshot.with_model(state))
