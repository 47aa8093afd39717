"""The section of an evaluation's page with results by payload, its tables, and the images behind its rates."""

from __future__ import annotations

import csv
import html
import io
import re
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from starlight_exporter.dataset.sidecar import MAX_PAYLOAD_BYTES
from starlight_exporter.evaluation.payload import by_payload
from starlight_exporter.evaluation.results import Evaluation, FileFacts, Prediction
from starlight_exporter.runs.application import Application
from starlight_exporter.statistics.isotonic import MAX_GROUPS
from starlight_exporter.web.pages.payload import payload_section
from support.html_links import page_links
from support.snapshots import empty_snapshot, example_prediction, full_evaluation
from support.web import LocalServer, idle_application


def predictions() -> list[Prediction]:
    """Return 32 stego files of 10 to 320 bytes in images of 8,000 pixels, and 10 clean files of 2 sources."""
    stego = [
        replace(
            example_prediction(f"stego/{number}.png", verdict=number > 16, stego=True),
            method="lsb",
            facts=FileFacts(
                **{"width": 100, "height": 80, "payload_bytes": 10 * number, "bit_order": "lsb-first"},  # type: ignore[arg-type]
                source="a & b",
                reaches_crop=number > 15,
            ),
        )
        for number in range(1, 33)
    ]
    clean = [
        replace(
            example_prediction(f"clean/{number}.png", verdict=number == 3),
            facts=FileFacts(width=64, height=64, source=("camera", "a & b")[number % 2]),
        )
        for number in range(10)
    ]
    return [*clean, *stego]


def stored(tmp_path: Path, evaluation: Evaluation, files: list[Prediction]) -> Application:
    application = idle_application(tmp_path, empty_snapshot())
    application.evidence.store(evaluation, files)
    return application


def get(address: str) -> str:
    return httpx.get(address, headers={"Accept": "text/html"}).raise_for_status().text


def section_of(page: str) -> str:
    (section,) = re.findall(r'<section><h2 id="payload">.*?</section>', page, re.DOTALL)
    return str(section)


def test_every_rate_links_to_its_images(tmp_path: Path) -> None:
    files = predictions()
    evaluation = replace(full_evaluation(), payload=by_payload(files))
    with LocalServer(stored(tmp_path, evaluation, files)) as served:
        address = f"{served.url}/evaluations/{evaluation.id}"
        section = section_of(get(address))
        text = " ".join(html.unescape(re.sub(r"<[^>]+>", " ", section)).split())
        assert "lsb 50% 0.165 0.13–0.2 bits per pixel" in text
        assert section.count("<svg") > 1
        linked = [link for link in page_links(section) if "misclassified" in link]
        assert evaluation.payload is not None
        rates = sum(len(result.bins) for result in evaluation.payload.methods.values()) + sum(
            (one.detections is not None) + (one.false_positives is not None)
            for slices in evaluation.payload.slices.values()
            for one in slices
        )
        assert len(linked) == rates
        tables = {
            name: list(csv.DictReader(io.StringIO(httpx.get(f"{address}.csv?table={name}").raise_for_status().text)))
            for name in ("payload", "payload-curves", "payload-thresholds", "payload-slices")
        }
        for link in linked:
            json_url = served.url + link.replace("misclassified", "misclassified.json")
            found = httpx.get(json_url).raise_for_status().json()
            assert found["measured"] > 0
            assert found["count"] <= found["measured"]
        # One clean file of the source is a false positive; the link has an ampersand.
        (link,) = [link for link in linked if "source=a+%26+b" in link and "class=clean" in link]
        page = get(f"{served.url}{link}")
        assert "clean/3.png" in page
        assert "Misclassified in this selection: 20.00%" in " ".join(re.sub(r"<[^>]+>", "", page).split())
    doses = [at.dose for at in evaluation.payload.methods["lsb"].thresholds]
    assert [float(row["rate"]) for row in tables["payload-thresholds"]] == doses
    assert {row["property"] for row in tables["payload-slices"]} == set(evaluation.payload.slices)
    assert len(tables["payload-curves"]) == MAX_GROUPS


@pytest.mark.parametrize(
    ("files", "text"),
    [
        (None, "Not measured by the version that stored this evaluation."),
        ([], "Detection by embedding rate is not measured: no stego image was measured."),
        (
            [example_prediction("stego/a.png", verdict=True, stego=True)],
            "Detection by embedding rate is not measured: no stego image states its payload size.",
        ),
    ],
)
def test_reason_without_payload_sizes(tmp_path: Path, files: list[Prediction] | None, text: str) -> None:
    evaluation = replace(full_evaluation(), payload=None if files is None else by_payload(files))
    with LocalServer(stored(tmp_path, evaluation, files or [])) as served:
        address = f"{served.url}/evaluations/{evaluation.id}"
        assert text in section_of(get(address))
        assert httpx.get(f"{address}.csv?table=payload").raise_for_status().text.count("\n") == 1


def test_largest_payload_that_can_be_stated_has_a_chart(tmp_path: Path) -> None:
    facts = FileFacts(width=1, height=1, payload_bytes=MAX_PAYLOAD_BYTES)
    files = [replace(one, facts=facts) if one.method is not None else one for one in predictions()]
    evaluation = replace(full_evaluation(), payload=by_payload(files))
    with LocalServer(stored(tmp_path, evaluation, files)) as served:
        assert "<svg" in section_of(get(f"{served.url}/evaluations/{evaluation.id}"))


def test_pooled_sources_have_no_link() -> None:
    files = [
        replace(example_prediction(f"clean/{number}.png"), facts=FileFacts(source=f"source-{number:03d}"))
        for number in range(70)
    ]
    section = payload_section(replace(full_evaluation(), payload=by_payload(files)))
    assert section is not None
    (table,) = [table for table in section.properties if table.name == "source"]
    links = [None if row.false_positives is None else row.false_positives.link for row in table.rows]
    assert links[-1] is None
    assert None not in links[:-1]


@pytest.mark.parametrize("query", ["embedding_rate=1+bit", "size=small", "reaches_crop=yes", "bit_order=big-endian"])
def test_unknown_values_of_filters_are_rejected(tmp_path: Path, query: str) -> None:
    with LocalServer(stored(tmp_path, full_evaluation(), predictions())) as served:
        answer = httpx.get(f"{served.url}/evaluations/{full_evaluation().id}/images?{query}")
        assert answer.status_code == 400
        assert f"{query.split('=', maxsplit=1)[0]}: expected one of" in answer.text
