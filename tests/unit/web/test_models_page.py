"""Models side by side: results on the same images, selection of models, links."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from dataclasses import replace

import httpx
import pytest

from starlight_exporter.detector.contract import METHODS
from starlight_exporter.publish.snapshot import DatasetState
from starlight_exporter.statistics.intervals import proportion
from support.snapshots import FINISHED_AT, full_evaluation, full_snapshot, model_state, run_state, unlabelled_evaluation
from support.web import LocalServer, idle_application

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """Three models on the same images (the evidence of one is not stored), and one on other images."""
    results = {
        "production": full_evaluation(evaluation_id="now"),
        "v3": replace(
            full_evaluation(evaluation_id="three", model_sha256="3" * 64),
            clean=proportion(3, 1000),
            finished_at=FINISHED_AT + 5,
        ),
        "plain": replace(
            full_evaluation(evaluation_id="plain"), detections=dict.fromkeys(METHODS, proportion(0, 0)), figures=None
        ),
        "old": full_evaluation(evaluation_id="old", fingerprint="0" * 64, finished_at=FINISHED_AT - 900),
    }
    snapshot = full_snapshot().with_dataset(DatasetState("incoming", labelled=False))
    for name, result in results.items():
        named = replace(result, model=name)
        snapshot = snapshot.with_model(replace(model_state(), name=name)).with_run(name, "reference", run_state(named))
    snapshot = snapshot.with_run("production", "incoming", run_state(unlabelled_evaluation(), checks=(), basis=None))
    application = idle_application(tmp_path_factory.mktemp("site"), snapshot)
    for name in ("production", "v3"):
        application.evidence.store(replace(results[name], model=name), [])
    with LocalServer(application) as server, httpx.Client(base_url=server.url, timeout=60.0) as client:
        yield client


def html(site: httpx.Client, query: str = "") -> str:
    answer = site.get(f"/models?{query}", headers={"Accept": "text/html"})
    assert answer.status_code == 200, answer.text
    return answer.text


def test_all_models_on_the_same_images_are_side_by_side(site: httpx.Client) -> None:
    content = site.get("/models.json").json()
    assert content["dataset"] == "reference"
    assert [one["model"] for one in content["models"]] == ["production", "v3", "plain"]
    assert content["other_images"] == ["old"]
    rows = {(row["metric"], row["slice"]): row["values"] for row in content["rows"]}
    assert [one["count"] for one in rows["false positive rate", "all clean images"]][1] == 3
    assert len(rows["detection rate", "lsb"]) == 3
    assert rows["detection rate", "lsb"][2]["value"] is None
    assert [one["value"] is None for one in rows["P_E", ""]] == [False, False, True]
    assert {"ROC AUC", "log loss", "latency p95"} <= {metric for metric, _ in rows}


def test_page_links_to_evaluations_and_paired_comparisons_that_are_stored(site: httpx.Client) -> None:
    text = html(site)
    assert '<a href="/evaluations/now">production</a>' in text
    assert '<a href="/evaluations/three/comparison?against=now">comparison</a>' in text
    assert "/evaluations/plain" not in text
    assert "not comparable: old, " in text
    assert '<b>0.30%</b> <span class="quiet">(95% CI ' in text
    assert "; 3 of 1,000)</span>" in text
    assert '<td><span class="quiet">not measured' in text


def test_models_are_selected_and_removed_by_links(site: httpx.Client) -> None:
    text = html(site, "models=v3,plain")
    assert re.findall(r"<h1>[^<]+</h1>|scope=\"col\"><a[^>]*>([a-z0-9]+)</a> \(", text)[-1:] == ["v3"]
    assert 'href="/models?models=plain" aria-current="true">v3</a>' in text
    assert 'href="/models?models=production%2Cv3%2Cplain">production</a>' in text
    rows = list(csv.DictReader(io.StringIO(site.get("/models.csv?models=v3").text)))
    assert {row["model"] for row in rows} == {"v3"}
    (clean,) = (row for row in rows if row["slice"] == "all clean images")
    assert (clean["count"], clean["total"], clean["value"]) == ("3", "1000", "0.003")


@pytest.mark.parametrize("query", ["dataset=gone", "models=production,gone"])
def test_unknown_names_are_one_error(site: httpx.Client, query: str) -> None:
    answer = site.get(f"/models.json?{query}")
    assert answer.status_code == 400
    assert "'gone'" in answer.text


def test_unlabelled_dataset_and_no_result_have_no_table(site: httpx.Client) -> None:
    text = html(site, "dataset=incoming")
    assert "No result of these models on this dataset." in text
    assert "<table" not in text
