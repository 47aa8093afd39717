"""Provisional results on pages and metrics: displayed until the complete result, or another model file."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from starlight_exporter.checks.limits import DEFAULT_LIMITS
from starlight_exporter.checks.provisional import check_sample
from starlight_exporter.publish.families import provisional
from starlight_exporter.publish.snapshot import DatasetState, Snapshot
from starlight_exporter.runs.application import Application
from support.snapshots import full_evaluation, full_snapshot, model_state, provisional_result, run_state
from support.web import LocalServer, idle_application

PAIR = ("production", "reference")
NEW_FILE = model_state().file_sha256 or ""


def with_sample(snapshot: Snapshot, *, missed: int, model_sha256: str = NEW_FILE) -> Snapshot:
    checked = check_sample(provisional_result(missed=missed, model_sha256=model_sha256), DEFAULT_LIMITS, baseline="v3")
    return snapshot.with_run(*PAIR, replace(run_state(full_evaluation()), provisional=checked))


def samples(snapshot: Snapshot) -> dict[tuple[str, ...], float]:
    """Return the samples of one model and dataset: name and other label values → value."""
    return {
        (one.family.name.removeprefix("starlight_provisional_"), *one.labels[2:]): one.value
        for one in provisional.samples(snapshot)
    }


@pytest.fixture
def application(tmp_path: Path) -> Application:
    return idle_application(tmp_path, with_sample(full_snapshot(), missed=14))


@pytest.fixture
def client(application: Application) -> Iterator[httpx.Client]:
    with LocalServer(application) as server, httpx.Client(base_url=server.url, timeout=60.0) as opened:
        yield opened


def html(client: httpx.Client, path: str) -> str:
    text = client.get(path, headers={"Accept": "text/html"}).raise_for_status().text
    return " ".join(text.split())


def test_page_states_sample_failures_and_misclassified_images(client: httpx.Client) -> None:
    page = html(client, "/provisional?model=production&dataset=reference")
    assert "Provisional: 302 of 1,000,000 images, 1 check fails significantly" in page
    assert "detection below baseline: <span" in page
    assert "stego/13.png" in page
    assert "seed 0, sample size 300" in page
    assert "compared with v3 <code>bbbbbbbbbbbb</code>, probability &gt; 0.5" in page
    (result,) = client.get("/provisional.json").json()["results"]
    assert (result["images"], result["dataset_images"], result["significance_level"]) == (302, 1_000_000, 0.002)
    assert result["detections"]["alpha"]["count"] == 86
    assert "dataset_fingerprint" not in result["spec"]
    assert result["baseline"] == {"model": "v3", "model_sha256": "b" * 64, "decision": "probability > 0.5"}
    assert result["sample_size"] == 300
    rows = client.get("/provisional.csv?table=misclassified").text.splitlines()
    assert len(rows) == 1 + 14


def test_page_links_the_complete_result_that_has_replaced_a_provisional_one(
    application: Application, client: httpx.Client
) -> None:
    application.state.update(lambda s: s.with_run(*PAIR, run_state(full_evaluation(evaluation_id="complete"))))
    page = html(client, "/provisional?model=production&dataset=reference")
    assert 'href="/evaluations/complete/misclassified"' in page
    assert client.get("/provisional.json", params={"model": "production", "dataset": "reference"}).json() == {
        "results": [],
        "failures": [],
        "complete": "complete",
    }
    assert "No evaluation of a large dataset is in progress" in html(client, "/provisional?model=unknown&dataset=x")


def test_page_states_that_the_compared_baseline_was_replaced(application: Application, client: httpx.Client) -> None:
    replaced = check_sample(provisional_result(missed=40, model_sha256=NEW_FILE), DEFAULT_LIMITS, baseline=None)
    application.state.update(lambda s: s.with_run(*PAIR, replace(s.runs[PAIR], provisional=replaced)))
    page = html(client, "/provisional")
    assert "not compared: the baseline model that was measured on the sample was replaced." in page
    (result,) = client.get("/provisional.json").json()["results"]
    assert result["baseline"] is None
    failed = {one["name"] for one in result["checks"] if one["conclusion"].startswith("fail")}
    assert "detection_baseline" not in failed


def test_pages_state_why_there_is_no_provisional_result(application: Application, client: httpx.Client) -> None:
    failed = replace(run_state(full_evaluation()), in_progress=True, provisional_failure="no space left")
    application.state.update(lambda s: s.with_run(*PAIR, failed))
    assert "production on reference has no provisional result: no space left. The complete" in html(
        client, "/provisional"
    )
    assert "No provisional result: no space left. The complete result does not depend on it." in html(client, "/")
    assert client.get("/provisional.json").json()["failures"] == [
        {"model": "production", "dataset": "reference", "reason": "no space left"}
    ]


def test_status_page_links_the_provisional_result(application: Application, client: httpx.Client) -> None:
    page = html(client, "/")
    assert "newer provisional: 302 of 1,000,000 images, 1 check fails significantly" in page
    assert 'href="/provisional?model=production&amp;dataset=reference"' in page
    (cell,) = (one for one in client.get("/status.json").json()["cells"] if one["provisional"] is not None)
    assert (cell["level"], cell["provisional"]) == ("bad", "/provisional?model=production&dataset=reference")
    # Without alerts, it has no colour.
    application.state.update(lambda s: s.with_dataset(DatasetState("reference", alerts=False)))
    (cell,) = (one for one in client.get("/status.json").json()["cells"] if one["provisional"] is not None)
    assert cell["level"] == "quiet"


def test_metrics_have_exact_counts_and_results() -> None:
    found = samples(with_sample(full_snapshot(), missed=14))
    assert found["info", NEW_FILE[:12], "probability > 0.5"] == 1
    assert (found["images",], found["dataset_images",]) == (302, 1_000_000)
    assert found["images_not_measured", "unreadable"] == 1
    assert (found["stego_images", "alpha"], found["detections", "alpha"]) == (100, 86)
    assert found["detection_ratio", "alpha"] == 0.86
    # Clopper-Pearson, 86 of 100.
    assert found["detection_ratio_lower", "alpha"] == pytest.approx(0.77627, abs=1e-5)
    assert found["detection_ratio_upper", "alpha"] == pytest.approx(0.92129, abs=1e-5)
    assert (found["clean_images",], found["false_positives",]) == (200, 0)
    assert found["check_significant", "detection_baseline", "alpha"] == 1
    # 2 ** -14, multiplied by the number of hypotheses.
    assert found["check_p_value", "detection_baseline", "alpha"] <= 0.002
    assert found["check_passed", "fpr_baseline", ""] == 1
    assert ("detection_ratio", "lsb") not in found
    assert ("check_passed", "detection_floor", "lsb") not in found


def test_only_production_models_on_datasets_with_alerts_alert() -> None:
    snapshot = with_sample(full_snapshot(), missed=14)
    assert samples(snapshot)["check_alerts", "detection_baseline", "alpha"] == 1
    assert samples(snapshot)["check_alerts", "detection_target", "alpha"] == 0
    silent = snapshot.with_dataset(DatasetState("reference", alerts=False))
    research = snapshot.with_model(replace(model_state(), role="research"))
    for other in (silent, research):
        assert samples(other)["check_alerts", "detection_baseline", "alpha"] == 0


def test_result_of_a_replaced_model_file_is_withdrawn() -> None:
    assert samples(with_sample(full_snapshot(), missed=14, model_sha256="d" * 64)) == {}
    # An unreadable file has not been replaced yet.
    snapshot = with_sample(full_snapshot(), missed=14, model_sha256="d" * 64)
    assert samples(snapshot.with_model(replace(model_state(), file_sha256=None))) != {}
