"""The page of the embeddings of an evaluation: table, projection with links to images, and reasons."""

from __future__ import annotations

import csv
import html
import io
import re
from collections.abc import Iterator
from dataclasses import replace

import httpx
import numpy as np
import pytest

from starlight_exporter.evaluation.embedding_results import PROJECTED_IMAGE, EmbeddingResult, Projection
from starlight_exporter.evaluation.embeddings import measure_embeddings
from starlight_exporter.evaluation.results import Evaluation
from starlight_exporter.publish.evidence_files import PROJECTION_FILE
from starlight_exporter.statistics.intervals import Interval, proportion
from starlight_exporter.web.pages.embeddings import LEAST_SEPARATED, conclusion
from starlight_exporter.web.pages.page import SitePath
from starlight_exporter.web.pages.scatter import HEIGHT, MARKERS, WIDTH, ScatterPoint, scatter_series
from support.embedding_results import EMBEDDINGS, example_images, table
from support.html_links import page_links
from support.snapshots import empty_snapshot, full_evaluation, unlabelled_evaluation
from support.web import LocalServer, idle_application

pytestmark = pytest.mark.slow

COUNTS = {"clean": 60, "alpha": 30, "palette": 30, "lsb": 30, "exif": 4}
MEASURED, OLD, NO_OUTPUT, UNLABELLED, DAMAGED = "measured", "old", "no-output", "unlabelled", "damaged"


def embeddings_of(evaluation_id: str, result: EmbeddingResult | None) -> Evaluation:
    return replace(full_evaluation(), id=evaluation_id, embeddings=result)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    application = idle_application(tmp_path_factory.mktemp("site"), empty_snapshot())
    predictions, values = example_images(COUNTS, distance=0.3)
    predictions[0] = replace(predictions[0], path='clean/<b>"&amp.png')
    result, projection = measure_embeddings(predictions, table(predictions, values), None, seed=0)
    evidence = application.evidence
    for name in (MEASURED, DAMAGED):
        evidence.store(embeddings_of(name, result), predictions, projection=projection)
    (entry,) = [entry for entry in evidence.entries() if entry.id == DAMAGED]
    (evidence.folder(entry) / PROJECTION_FILE).write_bytes(b"no array")
    evidence.store(embeddings_of(OLD, None), predictions)
    without, _ = measure_embeddings(predictions, table([], values[:0]), "", seed=0)
    evidence.store(embeddings_of(NO_OUTPUT, without), predictions)
    evidence.store(replace(unlabelled_evaluation(), id=UNLABELLED), [])
    with LocalServer(application) as server, httpx.Client(base_url=server.url, timeout=60.0) as client:
        yield client


def page(site: httpx.Client, evaluation_id: str) -> str:
    answer = site.get(f"/evaluations/{evaluation_id}/embeddings", headers={"Accept": "text/html"})
    assert answer.status_code == 200, answer.text
    return answer.text


def text_of(content: str) -> str:
    return " ".join(html.unescape(re.sub(r"<[^>]+>", " ", content)).split())


def test_every_point_links_to_its_image(site: httpx.Client) -> None:
    content = page(site, MEASURED)
    (scatter,) = re.findall(r'<svg class="chart scatter".*?</svg>', content, re.DOTALL)
    points = [link for link in page_links(scatter) if not link.startswith("#marker-")]
    assert sorted(points) == sorted(f"/evaluations/{MEASURED}/images/{number}" for number in range(154))
    linked = site.get(points[0], headers={"Accept": "text/html"})
    assert linked.status_code == 200
    # The tooltip of a point is the path and class of the linked image, escaped.
    (title,) = re.findall(rf'<a href="/evaluations/{MEASURED}/images/0"[^>]*>.*?<title>(.*?)</title>', scatter)
    assert html.unescape(title).startswith('clean/<b>"&amp.png: ')
    assert "<b>" not in title


def test_classes_differ_in_shape_and_colour(site: httpx.Client) -> None:
    content = page(site, MEASURED)
    assert re.findall(r'<path id="marker-(\w+)" d="([^"]+)"', content) == [
        (name, MARKERS[name]) for name in ("clean", "alpha", "palette", "lsb", "exif")
    ]
    legend = re.findall(r'<li><svg class="chart swatch".*?</li>', content, re.DOTALL)
    assert [text_of(one) for one in legend] == ["clean (60)", "alpha (30)", "palette (30)", "lsb (30)", "exif (4)"]
    assert len(set(MARKERS.values())) == len(MARKERS)


def test_numbers_of_table_and_json_agree(site: httpx.Client) -> None:
    stored = site.get(f"/evaluations/{MEASURED}/embeddings.json").raise_for_status().json()
    result = stored["embeddings"]
    content = text_of(page(site, MEASURED))
    accuracy = result["probe"]["accuracy"]
    assert f"{accuracy['count']} of {accuracy['total']}" in content
    assert stored["conclusion"] in content
    assert "exif not measured: fewer than 10 images" in content
    assert "eoi not measured: no images" in content
    answer = site.get(f"/evaluations/{MEASURED}/embeddings.csv?table=classes").raise_for_status()
    rows = {row["actual"]: row for row in csv.DictReader(io.StringIO(answer.text))}
    assert float(rows["lsb"]["recall_ratio"]) == result["classes"]["lsb"]["recall"]["ratio"]
    assert rows["exif"]["recall_ratio"] == ""
    answer = site.get(f"/evaluations/{MEASURED}/embeddings.csv?table=images").raise_for_status()
    images = list(csv.DictReader(io.StringIO(answer.text)))
    assert len(images) == len(stored["images"]) == 154
    assert all((row["silhouette"] == "") == (row["actual"] == "exif") for row in images)


def test_lists_images_within_another_class(site: httpx.Client) -> None:
    images = site.get(f"/evaluations/{MEASURED}/embeddings.json").raise_for_status().json()["images"]
    lowest = sorted((one for one in images if one["silhouette"] is not None), key=lambda one: one["silhouette"])
    (_, section) = page(site, MEASURED).split('<h2 id="mixed">')
    expected = [one["link"] for one in lowest if one["silhouette"] < 0][:LEAST_SEPARATED]
    assert expected
    assert [link for link in page_links(section) if "/images/" in link] == expected


@pytest.mark.parametrize(
    ("evaluation_id", "reason"),
    [
        (OLD, "by the version that stored this evaluation"),
        (NO_OUTPUT, "the model has no output embedding"),
        (UNLABELLED, "the dataset has no labels"),
    ],
)
def test_reason_without_embeddings(site: httpx.Client, evaluation_id: str, reason: str) -> None:
    content = page(site, evaluation_id)
    assert f"Not measured: {reason}." in text_of(content)
    assert "<svg" not in content
    stored = site.get(f"/evaluations/{evaluation_id}/embeddings.json").raise_for_status().json()
    assert (stored["not_measured"], stored["images"]) == (reason, [])


def test_damaged_projection_is_reported(site: httpx.Client) -> None:
    answer = site.get(f"/evaluations/{DAMAGED}/embeddings")
    assert (answer.status_code, "cannot be read" in answer.text) == (500, True)


def test_evaluation_links_to_its_embeddings(site: httpx.Client) -> None:
    answer = site.get(f"/evaluations/{MEASURED}", headers={"Accept": "text/html"}).raise_for_status()
    assert f"/evaluations/{MEASURED}/embeddings" in page_links(answer.text)


def test_projected_image_without_prediction_is_ignored(tmp_path_factory: pytest.TempPathFactory) -> None:
    application = idle_application(tmp_path_factory.mktemp("other"), empty_snapshot())
    predictions, _ = example_images({"clean": 2})
    images = np.array([(0, 0.0, 0.0, np.nan), (7, 1.0, 1.0, np.nan)], PROJECTED_IMAGE)
    application.evidence.store(embeddings_of(MEASURED, EMBEDDINGS), predictions, projection=Projection(images))
    with LocalServer(application) as server:
        stored = httpx.get(f"{server.url}/evaluations/{MEASURED}/embeddings.json").raise_for_status().json()
    assert [one["number"] for one in stored["images"]] == [0]


@pytest.mark.parametrize(
    ("correct", "text"),
    [
        (4_560, "A linear classifier separates the classes better than a constant prediction (83.86% correct)."),
        (4_000, "Inconclusive whether a linear classifier is better than a constant prediction (83.86% correct)."),
        (3_000, "A linear classifier separates the classes worse than a constant prediction (83.86% correct)."),
    ],
)
def test_conclusion_compares_with_a_constant_prediction(correct: int, text: str) -> None:
    assert EMBEDDINGS.probe is not None
    probe = replace(EMBEDDINGS.probe, accuracy=proportion(correct, 4_770), balanced_accuracy=Interval(0.9, None, None))
    found = conclusion(replace(EMBEDDINGS, probe=probe))
    assert found is not None
    assert found.startswith(text)
    assert "The lowest recall is that of palette: 52.00%" in found


def test_axes_of_the_scatter_plot_have_one_scale() -> None:
    points = [ScatterPoint(x, y, "lsb", SitePath("/"), "") for x, y in ((-2.0, 0.0), (2.0, 1.0))]
    ((one, other),) = (series.points for series in scatter_series(points))
    across, up = float(other.x) - float(one.x), float(one.y) - float(other.y)
    assert across == pytest.approx(4 * up, abs=0.3)
    for place in (one, other):
        assert 0 < float(place.x) < WIDTH
        assert 0 < float(place.y) < HEIGHT


def test_one_point_is_in_the_centre() -> None:
    (series,) = scatter_series([ScatterPoint(5.0, 5.0, "lsb", SitePath("/"), "")])
    assert (float(series.points[0].x), float(series.points[0].y)) == (WIDTH / 2, HEIGHT / 2)
