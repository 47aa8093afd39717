"""The site below a prefix, behind reverse proxies that keep or remove it: every link leads to a page."""

from __future__ import annotations

import hashlib
import re
import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import bcrypt
import httpx
import pytest

from starlight_exporter.errors import ConfigError
from starlight_exporter.runs.application import Application
from starlight_exporter.web.site import make_service_url, make_site
from support.html_links import page_links
from support.images import image_bytes
from support.reverse_proxy import reverse_proxy
from support.snapshots import FINISHED_AT, example_prediction, full_evaluation, full_snapshot, model_state, run_state
from support.web import AsgiServer, LocalServer, idle_application, no_web_config, write_users

ROOT = Path(__file__).resolve().parents[3]
EXTERNAL_URL = "https://monitor.example/tools/starlight/"
PREFIX = "/tools/starlight"


@pytest.fixture(scope="module")
def application(tmp_path_factory: pytest.TempPathFactory) -> Application:
    folder = tmp_path_factory.mktemp("prefix")
    (folder / "images" / "clean").mkdir(parents=True)
    image = image_bytes(1)
    (folder / "images" / "clean" / "0.png").write_bytes(image)
    sha256 = hashlib.sha256(image).hexdigest()
    shutil.copytree(ROOT / "alerting" / "runbooks", folder / "runbooks")
    now = full_evaluation(evaluation_id="now")
    before = full_evaluation(evaluation_id="before", finished_at=FINISHED_AT - 900, model_sha256="a" * 64)
    snapshot = full_snapshot().with_model(model_state()).with_run("production", "reference", run_state(now))
    application = idle_application(folder, snapshot)
    for result, wrong in ((before, False), (now, True)):
        first, *others = (example_prediction(f"clean/{number}.png", verdict=wrong) for number in range(62))
        application.evidence.store(result, [replace(first, sha256=sha256), *others])
    return application


@pytest.fixture(scope="module", params=["prefix kept", "prefix removed"])
def client(request: pytest.FixtureRequest, application: Application) -> Iterator[httpx.Client]:
    """Return a client of a proxy at the external URL, as far as its requests can tell."""
    kept = request.param == "prefix kept"
    site = make_site(EXTERNAL_URL, None if kept else "/", frozenset())
    with LocalServer(application, lifecycle=True, site=site) as server:
        upstream = server.url + PREFIX if kept else server.url
        with (
            AsgiServer(reverse_proxy(PREFIX, upstream), no_web_config()) as proxy,
            httpx.Client(base_url=proxy.url, headers={"Host": "monitor.example"}, timeout=60) as opened,
        ):
            yield opened


def json_paths(value: object) -> Iterator[str]:
    """Yield the texts of a JSON document that are paths."""
    if isinstance(value, str) and value.startswith("/"):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from json_paths(item)
    elif isinstance(value, list):
        for item in value:
            yield from json_paths(item)


@pytest.mark.slow
def test_every_link_leads_to_a_page(client: httpx.Client) -> None:
    waiting, seen, kinds, visits = [f"{PREFIX}/"], set[str](), set[str](), Counter[str]()
    while waiting:
        path = waiting.pop(0).partition("#")[0]
        # Images differ in their number only, and filters can be combined in many ways.
        pattern = re.sub(r"/images/[0-9]+", "/images/N", path.partition("?")[0])
        if path in seen or visits[pattern] == 3:
            continue
        seen.add(path)
        visits[pattern] += 1
        assert path.startswith(f"{PREFIX}/"), path
        answer = client.get(path, headers={"Accept": "text/html"})
        found: list[str] = []
        kind = answer.headers["content-type"].partition(";")[0]
        missing_image = kind == "text/html" and path.endswith(".png")
        assert answer.status_code == (404 if missing_image else 200), f"{path}: {answer.status_code} {answer.text}"
        kinds.add(kind)
        if kind == "text/html":
            found = [urljoin(path, link) for link in page_links(answer.text)]
        elif kind == "application/json":
            found = list(json_paths(answer.json()))
        waiting += [link for link in found if not urlsplit(link).netloc]
    assert kinds >= {"text/html", "application/json", "text/csv", "text/css", "image/svg+xml", "image/png"}
    expected = ("metrics", "static/style.css", "evaluations/now", "training", "runbooks/", "evaluations/now/images/0")
    for part in expected:
        assert any(one.startswith(f"{PREFIX}/{part}") for one in seen), part


def test_endpoints_are_below_the_prefix(client: httpx.Client) -> None:
    assert client.get(f"{PREFIX}/-/healthy").text == "healthy\n"
    assert "starlight_exporter_build_info" in client.get(f"{PREFIX}/metrics").text
    answer = client.get(f"{PREFIX}/evaluations/latest", params={"model": "production", "dataset": "reference"})
    assert (answer.status_code, answer.headers["Location"]) == (307, f"{PREFIX}/evaluations/now")
    assert client.get(f"{PREFIX}/nowhere", headers={"Accept": "text/html"}).status_code == 404


def test_post_from_the_external_origin_is_served(client: httpx.Client) -> None:
    assert client.post(f"{PREFIX}/-/reload", headers={"Origin": "https://monitor.example"}).status_code == 200
    assert client.post(f"{PREFIX}/-/reload", headers={"Origin": "http://monitor.example"}).status_code == 403


def test_paths_outside_the_prefix(application: Application, tmp_path: Path) -> None:
    site = make_site(None, "starlight", frozenset())
    with LocalServer(application, site=site) as server, httpx.Client(base_url=server.url) as client:
        for path in ("/", "/starlight"):
            assert client.get(path).headers["Location"] == "/starlight/"
        assert client.get("/starlight/-/ready").status_code in (200, 503)
        for path in ("/metrics", "/-/healthy", "/starlightmetrics"):
            answer = client.get(path)
            assert (answer.status_code, answer.text) == (404, "not found: all paths begin with /starlight/\n")
    hashes = {"alice": bcrypt.hashpw(b"secret", bcrypt.gensalt(4)).decode()}
    with (
        LocalServer(application, site=site, web_config=write_users(tmp_path, hashes)) as server,
        httpx.Client(base_url=server.url) as client,
    ):
        assert client.get("/starlight/-/healthy").status_code == 200
        for path in ("/", "/-/healthy", "/starlight/metrics"):
            assert client.get(path).status_code == 401


@pytest.mark.parametrize(
    ("external_url", "route_prefix", "expected"),
    [
        (None, None, ("", "")),
        (None, "/a/b/", ("/a/b", "/a/b")),
        ("http://host", None, ("", "")),
        ("http://host:80/a", None, ("/a", "/a")),
        ("http://host/a/", "/", ("/a", "")),
        ("https://host/a", "b", ("/a", "/b")),
    ],
)
def test_prefixes_follow_the_flags(
    external_url: str | None, route_prefix: str | None, expected: tuple[str, str]
) -> None:
    site = make_site(external_url, route_prefix, frozenset())
    assert (site.prefix, site.route_prefix) == expected


@pytest.mark.parametrize(
    ("external_url", "route_prefix"),
    [
        ("host/a", None),
        ("ftp://host/", None),
        ("http://", None),
        ("http://user:secret@host/", None),
        ("http://host/?a=b", None),
        ("http://host/#a", None),
        ("http://host/a/../b", None),
        ("http://host/a b", None),
        ("http://[::1/", None),
        ("http://host:port/", None),
        (None, "/a//b"),
        (None, "/a?b"),
    ],
)
def test_invalid_flag_is_an_error_without_credentials(external_url: str | None, route_prefix: str | None) -> None:
    with pytest.raises(ConfigError, match=r"--web\.(external-url|route-prefix)") as caught:
        make_site(external_url, route_prefix, frozenset())
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        (None, ""),
        ("https://grafana.example", "https://grafana.example/"),
        ("http://host:3000/base/", "http://host:3000/base/"),
    ],
)
def test_service_url_ends_in_a_slash(url: str | None, expected: str) -> None:
    assert make_service_url("--web.grafana-url", url) == expected


@pytest.mark.parametrize(
    "url", ["", "host", "ftp://host/", "http://user:secret@host/", "http://host/?a=b", "http://[::1/"]
)
def test_invalid_service_url_is_an_error_without_credentials(url: str) -> None:
    with pytest.raises(ConfigError, match=r"^--web\.grafana-url: ") as caught:
        make_service_url("--web.grafana-url", url)
    assert "secret" not in str(caught.value)
