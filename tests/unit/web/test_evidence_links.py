"""Links to the exporter in alert rules, Grafana dashboards and the markdown dashboard lead to existing pages."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
import yaml

from starlight_exporter.checks.checks import run_checks
from starlight_exporter.markdown.content import evaluation_content
from starlight_exporter.markdown.document import render_document
from starlight_exporter.markdown.exporters import Exporters
from starlight_exporter.publish.snapshot import DatasetState
from support.results import make_prediction
from support.rules import link_of
from support.snapshots import (
    FINISHED_AT,
    basis_of,
    example_prediction,
    full_evaluation,
    full_snapshot,
    model_state,
    run_state,
    unlabelled_evaluation,
)
from support.web import LocalServer, idle_application

REPOSITORY = Path(__file__).resolve().parents[3]
BASE = "http://exporter.test"
MODEL, DATASET = "production", "reference"
LABELS = {
    **{"model": MODEL, "dataset": DATASET, "method": "lsb", "format": "png", "category": "patterns"},
    **{"rate": "0.01+to+0.02", "property": "source", "value": "camera"},
}
RESULT = full_evaluation()
INCOMING = unlabelled_evaluation()
RESULTS = {DATASET: RESULT, INCOMING.dataset: INCOMING}


def rule_links() -> Iterator[tuple[str, str]]:
    """Yield (alert, URL) of every rule, with the labels filled in."""
    for file in sorted((REPOSITORY / "prometheus" / "rules").glob("*.yml")):
        for group in yaml.safe_load(file.read_text())["groups"]:
            for rule in group["rules"]:
                link = rule.get("annotations", {}).get("evidence_url")
                if link is not None:
                    filled = f"{BASE}/{link_of(link).rest}"
                    labels = {**LABELS, "dataset": INCOMING.dataset} if file.stem == "unlabelled" else LABELS
                    for name, value in labels.items():
                        filled = filled.replace(f"{{{{ $labels.{name} | urlquery }}}}", value)
                    yield rule["alert"], filled


def dashboard_links() -> Iterator[tuple[str, str]]:
    """Yield (dashboard, URL) of every data link to the exporter, with the fields filled in."""

    def addresses(node: Any) -> Iterator[str]:
        if isinstance(node, dict):
            for key, value in node.items():
                if key == "url" and isinstance(value, str) and "${exporter}" in value:
                    yield value
                yield from addresses(value)
        elif isinstance(node, list):
            for value in node:
                yield from addresses(value)

    for file in sorted((REPOSITORY / "grafana" / "dashboards").glob("*.json")):
        for link in addresses(json.loads(file.read_text())):
            filled = link.replace("${exporter}", f"{BASE}/")
            filled = re.sub(r"\$\{(?:__data\.fields\.)?(\w+)(?::percentencode)?\}", lambda m: LABELS[m[1]], filled)
            yield file.stem, filled.replace("${__value.raw}", "StarlightExporterDown")


def markdown_links() -> Iterator[tuple[str, str]]:
    """Yield (text, URL) of every link to the exporter in the markdown dashboard."""
    content = evaluation_content(RESULT, run_checks(RESULT, basis_of(RESULT)))
    content = replace(content, exporters=Exporters({("", ""): f"{BASE}/"}))
    text = render_document(content, stem="dashboard", now=FINISHED_AT).text
    yield from re.findall(rf"\[([^\]]+)\]\(({re.escape(BASE)}[^)]*)\)", text)


ALL = (*rule_links(), *dashboard_links(), *markdown_links())


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    snapshot = full_snapshot().with_model(model_state()).with_dataset(DatasetState(DATASET))
    snapshot = snapshot.with_run(MODEL, DATASET, run_state(RESULT))
    application = idle_application(tmp_path_factory.mktemp("links"), snapshot)
    predictions = [
        example_prediction("clean/wrong.png", verdict=True),
        example_prediction("clean/unreadable.png", verdict=None),
        replace(example_prediction("stego/missed.png", verdict=False, stego=True), method="lsb"),
        example_prediction("negatives/patterns/wrong.png", verdict=True, negative=True),
    ]
    application.evidence.store(RESULT, predictions)
    application.evidence.store(INCOMING, [make_prediction("alarm.png", "unlabelled", 0.9)])
    runbooks = application.config.runbooks()
    runbooks.mkdir(parents=True)
    shutil.copy(REPOSITORY / "alerting" / "runbooks" / "StarlightExporterDown.md", runbooks)
    with LocalServer(application) as site, httpx.Client(base_url=site.url, follow_redirects=True) as opened:
        yield opened


def test_links_of_each_kind_exist() -> None:
    assert len(list(rule_links())) > 40
    assert {text for text, _ in markdown_links()} >= {
        f"`{MODEL}`",
        "False positive rate, clean images",
        "False positive rate, clean png",
        "False positive rate, negative patterns",
        "Detection rate, lsb",
    }
    assert {name for name, _ in dashboard_links()} >= {"overview", "detection"}


@pytest.mark.parametrize("link", sorted({address for _, address in ALL}))
def test_link_leads_to_a_page_with_its_filters(client: httpx.Client, link: str) -> None:
    assert "{" not in link, "a placeholder was not filled in"
    parts = urlsplit(link)
    answer = client.get(link.removeprefix(BASE), headers={"Accept": "text/html"})
    assert answer.status_code == 200, answer.text
    parameters = parse_qs(parts.query)
    if parts.path.startswith("/evaluations/latest"):
        assert parameters.pop("model") == [MODEL]
        (dataset,) = parameters.pop("dataset")
        assert answer.url.path == parts.path.replace("latest", RESULTS[dataset].id)
    assert parse_qs(answer.url.query.decode()) == parameters
    if parts.fragment:
        assert f'id="{parts.fragment}"' in answer.text


@pytest.mark.parametrize("links", [rule_links, dashboard_links, markdown_links])
def test_links_have_the_filters_of_their_metric(links: Callable[[], Iterator[tuple[str, str]]]) -> None:
    filters = {
        frozenset(parse_qs(urlsplit(address).query)) - {"model", "dataset"}
        for _, address in links()
        if urlsplit(address).path.endswith("/misclassified")
    }
    by_payload = {frozenset({"class", "method", "embedding_rate"}), frozenset({"class", LABELS["property"]})}
    assert filters - by_payload == {
        frozenset({"class"}),
        frozenset({"class", "format"}),
        frozenset({"class", "method"}),
        frozenset({"class", "category"}),
    }
    assert (by_payload <= filters) == (links is dashboard_links)


@pytest.mark.parametrize(
    ("query", "path"),
    [
        ("class=clean", "clean/wrong.png"),
        ("class=clean&format=png", "clean/wrong.png"),
        ("class=stego&method=lsb", "stego/missed.png"),
        ("class=negative&category=patterns", "negatives/patterns/wrong.png"),
    ],
)
def test_filters_select_the_images_of_the_metric(client: httpx.Client, query: str, path: str) -> None:
    found = client.get(f"/evaluations/latest/misclassified.json?model={MODEL}&dataset={DATASET}&{query}").json()
    assert [image["path"] for image in found["images"]] == [path]
