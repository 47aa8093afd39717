"""Pages of unlabelled datasets: status, evaluation, alarms and single images."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import replace

import httpx
import pytest

from starlight_exporter.evaluation.drift import DRIFT_VARIABLES
from starlight_exporter.statistics.intervals import proportion
from support.results import make_prediction
from support.snapshots import NO_DRIFT, full_snapshot, run_state, unlabelled_evaluation
from support.web import LocalServer, idle_application

pytestmark = pytest.mark.slow

INCOMING, UPLOADS, EMPTY = "incoming", "uploads", "empty"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    results = [
        replace(unlabelled_evaluation(), id=INCOMING),
        replace(unlabelled_evaluation(drift=NO_DRIFT), id=UPLOADS, dataset="uploads"),
        replace(
            unlabelled_evaluation(images=0, alarms=proportion(0, 0), methods={}, histogram=(0,) * 20, drift=NO_DRIFT),
            id=EMPTY,
        ),
    ]
    predictions = [make_prediction(f"{n}.png", "unlabelled", 0.9 if n < 3 else 0.1) for n in range(10)]
    predictions.append(make_prediction("broken.png", "unlabelled", None))
    snapshot = full_snapshot()
    for result in results[:2]:
        snapshot = snapshot.with_run("production", result.dataset, run_state(result, checks=(), basis=None))
    application = idle_application(tmp_path_factory.mktemp("site"), snapshot)
    for result in results:
        application.evidence.store(result, predictions if result.id == INCOMING else [])
    with LocalServer(application) as server, httpx.Client(base_url=server.url, timeout=60.0) as client:
        yield client


def html(site: httpx.Client, path: str) -> str:
    answer = site.get(path, headers={"Accept": "text/html"})
    assert answer.status_code == 200, answer.text
    return answer.text


def test_status_page_has_unlabelled_datasets_apart(site: httpx.Client) -> None:
    page = html(site, "/")
    matrix, _, rest = page.partition("<h2>Unlabelled datasets</h2>")
    assert "on incoming" not in matrix
    assert "drift from reference: width" in rest
    assert "2.00%" in rest
    assert "not measured: no drift reference is configured" in rest
    content = site.get("/status.json").json()
    assert {cell["dataset"] for cell in content["cells"]} == {"reference", "field"}
    assert {row["dataset"]: row["drift_detected"] for row in content["unlabelled"]} == {
        "incoming": True,
        "uploads": None,
    }
    assert content["unlabelled"][0]["alarms"]["count"] == 20


def test_evaluation_page_has_no_labelled_section(site: httpx.Client) -> None:
    page = html(site, f"/evaluations/{INCOMING}")
    for heading in ("False positives", "Checks", "Confusion matrix", "Latency", "Operating points", "Misclassified"):
        assert heading not in page
    assert "1,010 unlabelled images, 5,000 more are outside the window" in page
    assert "unreadable 10" in page
    assert page.count("<rect") == 20
    rows = list(csv.DictReader(io.StringIO(site.get(f"/evaluations/{INCOMING}.csv").text)))
    assert rows[0]["fact"] == "width"
    assert {row["fact"] for row in rows} == set(DRIFT_VARIABLES)
    content = site.get(f"/evaluations/{INCOMING}.json").json()
    assert list(content) == ["evaluation", "drift_detected"]


def test_evaluation_page_states_what_was_not_measured(site: httpx.Client) -> None:
    assert "Not measured: no drift reference is configured" in html(site, f"/evaluations/{UPLOADS}")
    page = html(site, f"/evaluations/{EMPTY}")
    assert "Not measured: no images." in page
    assert "0%" not in page
    assert site.get(f"/evaluations/{UPLOADS}.json").json()["drift_detected"] is None


def test_alarms_are_selected(site: httpx.Client) -> None:
    page = html(site, f"/evaluations/{INCOMING}/images?shown=alarms")
    assert "<h1>Alarms: production on incoming</h1>" in page
    assert page.count('class="card"') == 3
    assert "unlabelled → stego" in page
    content = site.get(f"/evaluations/{INCOMING}/images.json", params={"shown": "alarms", "format": "png"}).json()
    assert (content["count"], [one["path"] for one in content["images"]]) == (3, ["0.png", "1.png", "2.png"])
    assert site.get(f"/evaluations/{INCOMING}/images.json", params={"shown": "not_measured"}).json()["count"] == 1


def test_filters_offer_alarms_instead_of_errors(site: httpx.Client) -> None:
    page = html(site, f"/evaluations/{INCOMING}/images")
    assert "shown=alarms" in page
    assert "false positives" not in page
    assert site.get(f"/evaluations/{INCOMING}/misclassified.json").json()["count"] == 0


def test_image_is_neither_right_nor_wrong(site: httpx.Client) -> None:
    page = html(site, f"/evaluations/{INCOMING}/images/0")
    assert "<td>unlabelled</td>" in page
    assert "correct" not in page
    assert f"/evaluations/{INCOMING}/images?shown=alarms" in page


def test_list_of_evaluations_has_the_alarm_rate(site: httpx.Client) -> None:
    page = html(site, "/evaluations?dataset=incoming")
    assert "alarm rate" in page
    assert "none failed" not in page
