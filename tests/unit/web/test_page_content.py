"""Content of the pages: trend and age of a status cell, chart of operating points, streams of an image."""

from __future__ import annotations

import csv
import hashlib
import io
import os
import re
import time
from collections.abc import Iterator
from dataclasses import replace

import httpx
import pytest

from support.images import image_bytes
from support.processes import workers
from support.snapshots import example_prediction, full_evaluation, full_snapshot, model_state, run_state
from support.web import LocalServer, idle_application

TAIL = b"read me: four or more letters"
BEFORE, NOW = "run-before", "run-now"
AGE_SECONDS = 3 * 3600 + 60


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """Serve a palette image with a tail that the current model, three hours old, does not detect."""
    folder = tmp_path_factory.mktemp("shown")
    data = image_bytes(5, "gif", size=(40, 40)) + TAIL
    file = folder / "images" / "stego" / "palette" / "one.gif"
    file.parent.mkdir(parents=True)
    file.write_bytes(data)
    at = time.time() - AGE_SECONDS
    now = full_evaluation(evaluation_id=NOW, finished_at=at)
    before = full_evaluation(evaluation_id=BEFORE, finished_at=at - 900, model_sha256="a" * 64)
    other = replace(full_evaluation(evaluation_id="other", model="v3", finished_at=at - 500), figures=None)
    snapshot = full_snapshot().with_model(model_state())
    run = replace(run_state(now), evaluated_monotonic=time.monotonic() - AGE_SECONDS)
    snapshot = snapshot.with_run("production", "reference", run)
    application = idle_application(folder, snapshot)
    for result, verdict in ((before, True), (other, True), (now, False)):
        shown = example_prediction("stego/palette/one.gif", verdict=verdict, stego=True)
        named = replace(shown, method="palette", image_format="gif", sha256=hashlib.sha256(data).hexdigest())
        application.evidence.store(result, [named, example_prediction("clean/a.png")])
    with LocalServer(application) as served, httpx.Client(base_url=served.url, timeout=60.0) as client:
        yield client


def html(site: httpx.Client, address: str) -> str:
    return site.get(address, headers={"Accept": "text/html"}).raise_for_status().text


def table(site: httpx.Client, address: str, name: str) -> list[dict[str, str]]:
    text = site.get(f"{address}.csv?table={name}").raise_for_status().text
    return list(csv.DictReader(io.StringIO(text)))


def test_status_cell_has_trend_and_age(site: httpx.Client) -> None:
    text = html(site, "/")
    rates = "0.075% to 0.075%, lowest 0.075%, highest 0.075%"
    assert f'aria-label="false positive rate of the last 2 evaluations: {rates}"' in text
    assert 'aria-label="detection rate of the last 2 evaluations: 98.50% to 98.50%, lowest' in text
    assert f'<a href="/evaluations/{NOW}/comparison">no significant change</a>' in text
    assert f'<a href="/evaluations/{NOW}">evaluated 3 h ago</a>' in text
    (cell,) = (one for one in site.get("/status.json").json()["cells"] if one["evaluation"] == NOW)
    assert cell["compared_with"] == BEFORE


def test_evaluation_has_a_roc_curve_with_operating_points(site: httpx.Client) -> None:
    points = full_evaluation().operating_points
    assert len(points) > 1
    text = html(site, f"/evaluations/{NOW}")
    assert 'aria-label="ROC curve: detection rate against false positive rate"' in text
    assert text.count("<title>probability &gt; ") == len(points)


def test_evaluation_has_figures_of_merit_with_interval_or_reason(site: httpx.Client) -> None:
    text = " ".join(re.sub(r"<[^>]+>", " ", html(site, f"/evaluations/{NOW}")).split())
    assert "P_E 1.25% 0.62–1.88%" in text
    assert "detection at 0.1% FPR not measured: requires 2,000 clean images" in text
    rows = {row["figure"]: row for row in table(site, f"/evaluations/{NOW}", "figures-of-merit")}
    assert (rows["p_e"]["value"], rows["p_e"]["covers"]) == ("0.0125", "4007")
    missing = rows["detection_at_0_1_percent_fpr"]
    assert (missing["value"], missing["not_measured"]) == ("", "few_clean_images")
    assert len(table(site, f"/evaluations/{NOW}", "roc")) == 4
    assert table(site, f"/evaluations/{NOW}", "calibration")[1]["images"] == "10"


def test_earlier_evaluation_without_figures_has_operating_points(site: httpx.Client) -> None:
    text = html(site, "/evaluations/other")
    assert "Not measured by the version that evaluated." in text
    assert text.count("<title>probability &gt; ") == len(full_evaluation().operating_points)
    assert table(site, "/evaluations/other", "figures-of-merit") == []


@pytest.mark.slow
def test_image_has_palette_meta_bytes_and_verdicts_of_all_models(site: httpx.Client) -> None:
    address = f"/evaluations/{NOW}/images/0"
    text = html(site, address)
    assert "palette: colours in order (" in text
    assert "palette_lsb: LSB of the grey value" in text
    assert TAIL.decode() in text
    content = site.get(f"{address}.json").json()
    assert TAIL.decode() in " ".join(content["streams"]["meta_text"])
    assert content["streams"]["meta_hex"] == TAIL.hex()
    for link in content["streams"]["images"].values():
        assert site.get(link).content.startswith(b"\x89PNG")
    verdicts = {one["model"]: (one["verdict"], one["wrong"]) for one in content["verdicts"]}
    assert verdicts == {"production": (False, True), "v3": (True, False)}


@pytest.mark.slow
def test_images_are_decoded_in_a_worker_process(site: httpx.Client) -> None:
    assert site.get(f"/evaluations/{NOW}/images/0/thumbnail.png").content.startswith(b"\x89PNG")
    assert workers(os.getpid())
