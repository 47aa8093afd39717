"""The list of stored evaluations: filters, order, and the links to them."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from starlight_exporter.checks.checks import run_checks
from starlight_exporter.statistics.intervals import proportion
from starlight_exporter.web.pages.evaluation_list import CHECKS, LIST_FILTERS, ORDERS, SORT_KEYS
from support.snapshots import FINISHED_AT, basis_of, full_evaluation, full_snapshot, unlabelled_evaluation
from support.web import LocalServer, idle_application

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """Four evaluations, oldest first: many false positives, none, not measured, and an unlabelled dataset."""
    application = idle_application(tmp_path_factory.mktemp("site"), full_snapshot())
    results = [
        result("many", clean=proportion(400, 1000), stego=proportion(10, 800)),
        result("none", clean=proportion(0, 1000), stego=proportion(800, 800), model="v3"),
        result("unmeasured", clean=proportion(0, 0), stego=proportion(0, 0), dataset="payloads"),
    ]
    for number, one in enumerate(results):
        stored = replace(one, finished_at=FINISHED_AT + number)
        application.evidence.store(stored, [], checks=run_checks(stored, basis_of(stored)))
    application.evidence.store(replace(unlabelled_evaluation(), id="unlabelled", finished_at=FINISHED_AT + 9), [])
    with LocalServer(application) as server, httpx.Client(base_url=server.url, timeout=60.0) as client:
        yield client


def result(evaluation_id: str, **changes: Any) -> Any:
    names = {name: changes.pop(name) for name in ("model", "dataset") if name in changes}
    return replace(full_evaluation(evaluation_id=evaluation_id), **changes, **names)


def ids(site: httpx.Client, query: str) -> list[str]:
    """Return the ids in the order of the page, which are also those of JSON and CSV."""
    html = site.get(f"/evaluations?{query}", headers={"Accept": "text/html"}).text
    listed = re.findall(r'<th scope="row"><a href="/evaluations/([^"]+)"', html)
    content = [one["id"] for one in site.get(f"/evaluations.json?{query}").json()["evaluations"]]
    rows = [row["id"] for row in csv.DictReader(io.StringIO(site.get(f"/evaluations.csv?{query}").text))]
    assert listed == content == rows
    return listed


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", ["unlabelled", "unmeasured", "none", "many"]),
        ("order=ascending", ["many", "none", "unmeasured", "unlabelled"]),
        ("model=v3", ["none"]),
        ("dataset=payloads", ["unmeasured"]),
        ("model=v3&dataset=payloads", []),
        ("sort=false_positive_rate", ["many", "none"]),
        ("sort=false_positive_rate&order=ascending", ["none", "many"]),
        ("sort=detection_rate", ["many", "none"]),
        ("checks=significant&sort=finished", ["many"]),
    ],
)
def test_filters_and_order(site: httpx.Client, query: str, expected: list[str]) -> None:
    found = ids(site, query)
    # Rates that were not measured are last in either order.
    assert found[: len(expected)] == expected
    if "_rate" in query:
        assert set(found[len(expected) :]) == {"unmeasured", "unlabelled"}
    else:
        assert found == expected


def test_headings_sort_and_reverse(site: httpx.Client) -> None:
    html = site.get("/evaluations?model=v3&sort=detection_rate", headers={"Accept": "text/html"}).text
    headings = dict(re.findall(r'<th scope="col"[^>]*><a href="([^"]+)">([a-z ]+)', html))
    assert headings == {
        "/evaluations?model=v3": "finished",
        "/evaluations?model=v3&amp;sort=model": "model",
        "/evaluations?model=v3&amp;sort=dataset": "dataset",
        "/evaluations?model=v3&amp;sort=false_positive_rate": "false positive rate",
        "/evaluations?model=v3&amp;sort=detection_rate&amp;order=descending": "detection rate ",
        "/evaluations?model=v3&amp;sort=failed_checks": "checks",
    }
    assert html.count('aria-sort="ascending"') == 1


def test_filters_have_counts_under_the_other_filters(site: httpx.Client) -> None:
    html = site.get("/evaluations?dataset=payloads", headers={"Accept": "text/html"}).text
    pattern = r'class="choice" href="[^"]*"( aria-current="true")?>([^< ]+) ?(?:<span class="count">(\d+))?'
    choices = re.findall(pattern, html)
    assert (' aria-current="true"', "payloads", "1") in choices
    assert ("", "reference", "2") in choices
    assert "1 of 4 stored" in html


@pytest.mark.parametrize("query", ["sort=size", "order=up", "checks=all"])
def test_unknown_values_are_one_error(site: httpx.Client, query: str) -> None:
    answer = site.get(f"/evaluations.json?{query}")
    assert answer.status_code == 400
    assert f"{query.partition('=')[0]}: expected one of " in answer.text


def test_page_without_evaluations_has_no_filters(tmp_path_factory: pytest.TempPathFactory) -> None:
    application = idle_application(tmp_path_factory.mktemp("empty"), full_snapshot())
    with LocalServer(application) as server:
        html = httpx.get(f"{server.url}/evaluations", headers={"Accept": "text/html"}).text
    assert "0 stored" in html


def test_every_value_is_documented() -> None:
    text = (Path(__file__).resolve().parents[3] / "docs" / "http.md").read_text(encoding="utf-8")
    documented = set(re.findall(r"`([^`]+)`", text))
    assert {*LIST_FILTERS, *CHECKS, *SORT_KEYS, *ORDERS, "sort", "order"} <= documented
