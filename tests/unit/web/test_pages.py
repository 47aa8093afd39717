"""The pages as HTML, JSON and CSV: content, links, errors and escaping."""

from __future__ import annotations

import csv
import io
import re
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import bcrypt
import httpx
import numpy as np
import pytest

from starlight_exporter.checks.checks import run_checks
from starlight_exporter.evaluation.embedding_results import PROJECTED_IMAGE, Projection
from starlight_exporter.evaluation.results import Evaluation, FileFacts, Prediction
from starlight_exporter.publish.evidence import Evidence
from support.images import image_bytes
from support.snapshots import (
    FINISHED_AT,
    basis_of,
    example_prediction,
    full_evaluation,
    full_snapshot,
    model_state,
    run_state,
)
from support.web import LocalServer, idle_application, write_users

REPOSITORY = Path(__file__).resolve().parents[3]
MARKUP = "<script>alert(1)</script>\"'&<img src=x onerror=alert(2)>"
BEFORE, NOW = "run-before", "run-now"
FACTS = FileFacts(7_000, 64, 48, "RGB", 310, 1_600, "msb-first", 258)


def wrong(path: str, number: int, **changes: Any) -> Prediction:
    entry = example_prediction(path, verdict=True, **changes)
    return replace(entry, probability=0.5 + number / 1000, facts=FACTS)


def predictions(*, broken: bool) -> list[Prediction]:
    """Return 150 clean images, 130 of them misclassified if `broken`, and some stego and negative ones."""
    clean = [
        wrong(f"clean/{number:03}.png", number)
        if broken and number < 130
        else example_prediction(f"clean/{number:03}.png")
        for number in range(150)
    ]
    return [
        *clean,
        wrong(f"clean/{MARKUP.replace('/', '∕')}.png", 400),
        example_prediction("clean/gone.png", verdict=None),
        example_prediction("stego/a.png", verdict=not broken, stego=True),
        wrong("negatives/patterns/n.png", 3, negative=True),
    ]


def stored(evidence: Evidence, result: Evaluation, *, broken: bool) -> None:
    projection = Projection(np.array([(0, -1.5, 0.25, 0.5), (150, 2.0, 0.5, np.nan)], PROJECTED_IMAGE))
    evidence.store(
        result,
        predictions(broken=broken),
        checks=run_checks(result, basis_of(result)),
        projection=projection if broken else None,
    )


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    folder = tmp_path_factory.mktemp("site")
    (folder / "images" / "clean").mkdir(parents=True)
    (folder / "images" / "clean" / "000.png").write_bytes(image_bytes(1))
    shutil.copytree(REPOSITORY / "alerting" / "runbooks", folder / "runbooks")
    now = full_evaluation(evaluation_id=NOW)
    before = full_evaluation(evaluation_id=BEFORE, finished_at=FINISHED_AT - 900, model_sha256="a" * 64)
    snapshot = full_snapshot().with_model(model_state()).with_run("production", "reference", run_state(now))
    application = idle_application(folder, snapshot)
    stored(application.evidence, before, broken=False)
    stored(application.evidence, now, broken=True)
    with LocalServer(application) as served, httpx.Client(base_url=served.url, timeout=30.0) as client:
        yield client


PAGES = (
    "/",
    "/evaluations",
    "/evaluations?model=production",
    "/models",
    "/models?dataset=reference&models=production",
    "/training",
    "/training?model=production",
    f"/evaluations/{NOW}",
    f"/evaluations/{NOW}?prevalence=0.01",
    f"/evaluations/{NOW}/misclassified",
    f"/evaluations/{NOW}/misclassified?class=clean&format=png&page=2",
    f"/evaluations/{NOW}/misclassified?direction=broken",
    f"/evaluations/{NOW}/misclassified?direction=fixed&against={BEFORE}",
    f"/evaluations/{NOW}/misclassified?class=stego&method=exif",
    f"/evaluations/{NOW}/images",
    f"/evaluations/{NOW}/images?shown=not_measured",
    f"/evaluations/{NOW}/images/0",
    f"/evaluations/{NOW}/images/150",
    f"/evaluations/{NOW}/comparison",
    f"/evaluations/{NOW}/comparison?against={BEFORE}",
    f"/evaluations/{BEFORE}/comparison",
    f"/evaluations/{NOW}/embeddings",
    f"/evaluations/{BEFORE}/embeddings",
    f"/evaluations/{BEFORE}/misclassified?direction=broken",
)


class Links(HTMLParser):
    """Collects the URLs of a page, and all active content."""

    def __init__(self) -> None:
        super().__init__()
        self.found: set[str] = set()
        self.active: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        named = dict(attrs)
        self.found |= {named[name] or "" for name in ("href", "src", "action") if name in named}
        self.active += [name for name in named if name.startswith("on") or name == "style"]
        if tag in ("script", "style", "iframe", "object", "embed", "base"):
            self.active.append(tag)


def read(client: httpx.Client, address: str) -> tuple[str, Links]:
    answer = client.get(address, headers={"Accept": "text/html"})
    assert answer.status_code == 200, f"{address}: {answer.status_code} {answer.text}"
    links = Links()
    links.feed(answer.text)
    return answer.text, links


@pytest.mark.parametrize("address", PAGES)
@pytest.mark.slow
def test_every_page_has_three_forms_and_no_active_content(site: httpx.Client, address: str) -> None:
    _, links = read(site, address)
    assert links.active == []
    as_json = site.get(address, headers={"Accept": "application/json"})
    assert as_json.headers["Content-Type"] == "application/json"
    assert as_json.headers["Vary"].startswith("Accept")
    forms = [link for link in links.found if re.search(r"\.(json|csv)(\?|$)", link)]
    assert any(".json" in link for link in forms)
    assert any(".csv" in link for link in forms)
    for link in forms:
        answer = site.get(urljoin(address, link))
        assert answer.status_code == 200, link
        if ".json" in link:
            assert answer.json() == as_json.json() or address == "/"
        else:
            header, *rows = csv.reader(io.StringIO(answer.text))
            assert all(len(row) == len(header) for row in rows)


@pytest.mark.slow
def test_every_link_resolves(site: httpx.Client) -> None:
    found: dict[str, str] = {}
    for address in PAGES:
        for link in read(site, address)[1].found:
            found.setdefault(urljoin(address, link).partition("#")[0], address)
    for link, page in sorted(found.items()):
        answer = site.get(link, follow_redirects=True)
        # Only one of the images exists on disk; the others respond with 404.
        missing = link.endswith(".png") and answer.status_code == 404
        assert answer.status_code == 200 or missing, f"{link} on {page}: {answer.status_code} {answer.text[:200]}"


@pytest.mark.parametrize(
    ("address", "status", "expected"),
    [
        (f"/evaluations/{NOW}/misclassified?class=dirty", 400, "class: expected one of clean, stego, negative"),
        (f"/evaluations/{NOW}/misclassified?method=dct", 400, "method: expected one of alpha"),
        (f"/evaluations/{NOW}/misclassified?direction=up", 400, "direction: expected one of"),
        (f"/evaluations/{NOW}/misclassified.csv?format=doc", 400, "format: expected one of"),
        (f"/evaluations/{NOW}/misclassified?page=0", 400, "page: expected an integer"),
        (f"/evaluations/{NOW}/misclassified?page=-1", 400, "page: expected an integer"),
        (f"/evaluations/{NOW}?prevalence=2", 400, "prevalence: expected a number between 0 and 1"),
        (f"/evaluations/{NOW}?prevalence=nan", 400, "prevalence: expected a number between 0 and 1"),
        (f"/evaluations/{NOW}.csv?table=secrets", 400, "table: expected one of slices"),
        (f"/evaluations/{NOW}/images/999999", 404, "no image with this number"),
        (f"/evaluations/{NOW}/images/..%2F..%2Fetc%2Fpasswd", 404, ""),
        (f"/evaluations/{NOW}/images/clean%2F000.png", 404, ""),
        (f"/evaluations/{NOW}/images/0/passwd.png", 404, "no such stream image"),
        (f"/evaluations/{NOW}/comparison?against=..", 404, "against: '..' is neither"),
        ("/evaluations/..%2Frun-now", 404, ""),
        ("/evaluations/nothing", 404, "no such evaluation"),
        ("/evaluations/latest?model=unknown&dataset=reference", 404, "no evaluation of model 'unknown'"),
        ("/training?model=unknown", 400, "model: expected one of"),
        ("/static/..%2Fstatus.html", 404, ""),
        ("/static/status.html", 404, "no such file"),
        ("/runbooks/..%2F..%2Fstarlight.yml", 404, ""),
    ],
)
def test_invalid_request_is_one_line_of_error(site: httpx.Client, address: str, status: int, expected: str) -> None:
    answer = site.get(address)
    assert answer.status_code == status
    assert expected in answer.text
    page = site.get(address, headers={"Accept": "text/html"})
    assert page.status_code == status
    assert "Status page" in page.text


def test_markup_in_names_and_requests_is_escaped(site: httpx.Client) -> None:
    text, _ = read(site, f"/evaluations/{NOW}/misclassified")
    assert "<script>" not in text
    assert "&lt;script&gt;alert(1)&lt;∕script&gt;" in text
    page = site.get("/evaluations/latest", params={"model": MARKUP}, headers={"Accept": "text/html"})
    assert page.status_code == 404
    assert "<script>" not in page.text
    assert "&lt;script&gt;" in page.text


def test_content_security_policy_allows_own_styles_and_images_only(site: httpx.Client) -> None:
    for address in ("/", f"/evaluations/{NOW}/images/0/pixel.png", "/nowhere"):
        headers = site.get(address).headers
        assert headers["Content-Security-Policy"] == (
            "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; "
            "frame-ancestors 'none'"
        )
        assert headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(
    ("path", "location"),
    [
        ("/evaluations/latest?model=production&dataset=reference", f"/evaluations/{NOW}"),
        ("/evaluations/latest.json?model=production&dataset=reference", f"/evaluations/{NOW}.json"),
        (
            "/evaluations/latest/misclassified?model=production&dataset=reference&class=clean&method=&format=png&direction=",
            f"/evaluations/{NOW}/misclassified?class=clean&method=&format=png&direction=",
        ),
        (
            "/evaluations/latest/comparison?model=production&dataset=reference&against=v3",
            f"/evaluations/{NOW}/comparison?against=v3",
        ),
    ],
)
def test_latest_redirects_to_the_current_evaluation(site: httpx.Client, path: str, location: str) -> None:
    answer = site.get(path)
    assert (answer.status_code, answer.headers["Location"]) == (307, location)


def test_latest_redirects_to_stored_evaluation_before_restore(tmp_path: Path) -> None:
    application = idle_application(tmp_path, full_snapshot())
    stored(application.evidence, full_evaluation(evaluation_id="old", model="retired"), broken=False)
    with LocalServer(application) as served:
        answer = httpx.get(f"{served.url}/evaluations/latest?model=retired&dataset=reference", follow_redirects=True)
    assert answer.status_code == 200
    assert answer.url.path == "/evaluations/old"


def test_selection_is_counted_and_paged(site: httpx.Client) -> None:
    first = site.get(f"/evaluations/{NOW}/misclassified.json?class=clean").json()
    last = site.get(f"/evaluations/{NOW}/misclassified.json?class=clean&page=3").json()
    assert (first["count"], first["measured"], first["pages"]) == (131, 151, 3)
    assert first["rate"]["count"] == 131
    assert first["rate"]["total"] == 151
    assert (len(first["images"]), len(last["images"])) == (60, 11)
    assert first["images"][0]["path"].startswith("clean/<script>")
    assert first["images"][0]["facts"]["exif_bytes"] == 310
    rows = list(csv.DictReader(io.StringIO(site.get(f"/evaluations/{NOW}/misclassified.csv?class=clean").text)))
    assert len(rows) == 131
    assert rows[0]["payload_bytes"] == "258"


@pytest.mark.parametrize("kind", ["images", "misclassified"])
def test_page_and_csv_ignore_direction_without_previous_evaluation(site: httpx.Client, kind: str) -> None:
    address, query = f"/evaluations/{BEFORE}/{kind}", "direction=broken&class=negative"
    shown = site.get(f"{address}.json?{query}").json()["images"]
    rows = list(csv.DictReader(io.StringIO(site.get(f"{address}.csv?{query}").text)))
    assert [one["path"] for one in rows] == [one["path"] for one in shown] == ["negatives/patterns/n.png"]
    assert "the images are shown without this filter" in read(site, f"{address}?{query}")[0]


def test_comparison_states_significance_by_slice(site: httpx.Client) -> None:
    content = site.get(f"/evaluations/{NOW}/comparison.json").json()
    slices = {one["slice"]: one for one in content["slices"]}
    assert content["against"] == BEFORE
    assert slices["all clean images"]["conclusion"] == "worse"
    assert (slices["all clean images"]["change"]["broken"], slices["all clean images"]["change"]["fixed"]) == (130, 0)
    assert slices["all stego images"]["conclusion"] == "not significant"
    assert slices["stego, alpha"]["change"]["broken"] == 1
    assert slices["negative, patterns"]["conclusion"] == "no change"
    assert "worse" in read(site, f"/evaluations/{NOW}/comparison")[0]


def test_evaluations_of_different_images_are_not_comparable(tmp_path: Path) -> None:
    application = idle_application(tmp_path, full_snapshot())
    stored(application.evidence, full_evaluation(evaluation_id="one"), broken=False)
    stored(application.evidence, full_evaluation(evaluation_id="two", fingerprint="e" * 64), broken=False)
    with LocalServer(application) as served:
        answer = httpx.get(f"{served.url}/evaluations/two/comparison?against=one")
    assert answer.status_code == 409
    assert "different images" in answer.text


def test_rate_has_interval_counts_and_the_conclusion_of_its_check(site: httpx.Client) -> None:
    rows = {row["slice"]: row for row in site.get(f"/evaluations/{NOW}.json").json()["slices"]["false_positives"]}
    assert rows["all clean images"]["rate"] == {
        "count": 3,
        "total": 4000,
        "ratio": 0.00075,
        "lower": 0.000375,
        "upper": 0.011125,
        "covers": None,
    }
    assert (rows["all clean images"]["check"], rows["all clean images"]["limit"]) == ("fpr_target", 0.0005)
    assert rows["all clean images"]["result"] == "fail (not significant)"
    text, _ = read(site, f"/evaluations/{NOW}")
    assert "0.075%" in text
    assert "3 of 4,000" in text


def test_formula_in_a_name_is_escaped_in_csv(tmp_path: Path) -> None:
    application = idle_application(tmp_path, full_snapshot())
    entry = replace(example_prediction("negatives/=1+1/n.png", verdict=True, negative=True), category="=1+1")
    application.evidence.store(full_evaluation(evaluation_id="run"), [entry])
    with LocalServer(application) as served:
        text = httpx.get(f"{served.url}/evaluations/run/misclassified.csv").text
    (row,) = csv.DictReader(io.StringIO(text))
    assert row["category"] == "'=1+1"


def test_long_csv_is_sent_in_parts_to_concurrent_clients(tmp_path: Path) -> None:
    application = idle_application(tmp_path, full_snapshot())
    many = [example_prediction(f"clean/{number:05}.png", verdict=number % 2 == 0) for number in range(3000)]
    application.evidence.store(full_evaluation(evaluation_id="run"), many)
    names = ("predictions", "images", "misclassified")
    with LocalServer(application) as served, ThreadPoolExecutor(6) as pool:
        texts = list(pool.map(lambda name: httpx.get(f"{served.url}/evaluations/run/{name}.csv").text, names * 2))
    for text, rows in zip(texts, (3000, 3000, 1500) * 2, strict=True):
        assert len(list(csv.DictReader(io.StringIO(text)))) == rows


def test_pages_and_images_require_the_password(tmp_path: Path) -> None:
    application = idle_application(tmp_path, full_snapshot())
    stored(application.evidence, full_evaluation(evaluation_id=NOW), broken=False)
    web_config = write_users(tmp_path, {"reader": bcrypt.hashpw(b"secret", bcrypt.gensalt(4)).decode()})
    with LocalServer(application, web_config=web_config) as served:
        for path in ("/", f"/evaluations/{NOW}", f"/evaluations/{NOW}.json", f"/evaluations/{NOW}/images/0/pixel.png"):
            assert httpx.get(served.url + path).status_code == 401
        assert httpx.get(f"{served.url}/evaluations/{NOW}", auth=("reader", "secret")).status_code == 200


def test_damaged_evidence_is_an_error_of_its_page_only(tmp_path: Path) -> None:
    snapshot = full_snapshot().with_model(model_state())
    snapshot = snapshot.with_run("production", "reference", run_state(full_evaluation(evaluation_id=NOW)))
    application = idle_application(tmp_path, snapshot)
    stored(application.evidence, full_evaluation(evaluation_id=BEFORE, finished_at=FINISHED_AT - 900), broken=False)
    stored(application.evidence, full_evaluation(evaluation_id=NOW), broken=True)
    (tmp_path / "results" / "evaluations" / NOW / "predictions.sqlite").write_bytes(b"damaged")
    with LocalServer(application) as served:
        assert httpx.get(f"{served.url}/evaluations/{NOW}/misclassified").status_code == 500
        assert "0.075" in httpx.get(served.url).text
        assert httpx.get(f"{served.url}/evaluations/{NOW}").status_code == 200
