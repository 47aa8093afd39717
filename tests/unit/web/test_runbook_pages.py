"""Runbooks are pages for browsers and markdown for programs, with the addresses of the deployment in their commands."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from starlight_exporter.runs.application import Application
from starlight_exporter.web.app import create_app
from starlight_exporter.web.service_addresses import ServiceAddresses, replace_addresses
from starlight_exporter.web.site import make_service_url, make_site
from support.rules import RUNBOOKS
from support.web import AsgiServer, idle_application, no_web_config

BROWSER = {"Accept": "text/html,application/xhtml+xml"}
NAMES = sorted(file.stem for file in RUNBOOKS.glob("*.md"))
HOSTILE = """# Title

<script>alert(1)</script> <img src=x onerror=alert(2)> [link](javascript:alert(3)) **bold**

| a | b |
|---|---|
| 1 | 2 |

```sh
curl http://127.0.0.1:9877/status.json http://127.0.0.1:90901/ 'http://127.0.0.1:9093/<b>'
```
"""


def client_of(folder: Path, *, external_url: str | None, addresses: ServiceAddresses) -> Iterator[httpx.Client]:
    site = make_site(external_url, "/", frozenset())
    file = folder / "starlight.yml"
    idle_application(folder)
    application = Application(file, external_url=site.external_url)
    web_config = no_web_config()
    app = create_app(application, lifecycle=False, site=site, web_config=web_config, addresses=addresses)
    with AsgiServer(app, web_config) as server, httpx.Client(base_url=server.url) as client:
        yield client


@pytest.fixture
def runbooks(tmp_path: Path) -> Path:
    folder = tmp_path / "runbooks"
    folder.mkdir()
    for file in RUNBOOKS.glob("*.md"):
        (folder / file.name).write_bytes(file.read_bytes())
    (folder / "Hostile.md").write_text(HOSTILE)
    (folder / "Latin.md").write_bytes("# Größe".encode("latin-1"))
    return folder


@pytest.fixture
def deployed(runbooks: Path) -> Iterator[httpx.Client]:
    addresses = ServiceAddresses(
        make_service_url("--web.prometheus-url", "https://prometheus.example:9443/p"),
        make_service_url("--web.alertmanager-url", "https://alerts.example"),
    )
    yield from client_of(runbooks.parent, external_url="https://monitor.example/starlight/", addresses=addresses)


@pytest.fixture
def unconfigured(runbooks: Path) -> Iterator[httpx.Client]:
    yield from client_of(runbooks.parent, external_url=None, addresses=ServiceAddresses())


@pytest.mark.parametrize("path", ["/runbooks/StarlightExporterDown", "/runbooks/StarlightExporterDown.md"])
def test_accept_header_selects_page_or_markdown(deployed: httpx.Client, path: str) -> None:
    page, text = deployed.get(path, headers=BROWSER), deployed.get(path)
    assert page.headers["Content-Type"].startswith("text/html")
    assert "<h1>StarlightExporterDown</h1>" in page.text
    assert "<h2>Mitigation</h2>" in page.text
    assert text.headers["Content-Type"].startswith("text/plain")
    assert text.text.startswith("# StarlightExporterDown\n")
    assert all("Accept" in one.headers["Vary"].split(", ") for one in (page, text))


@pytest.mark.parametrize("name", NAMES)
def test_every_runbook_has_the_addresses_of_the_deployment(deployed: httpx.Client, name: str) -> None:
    page, text = deployed.get(f"/runbooks/{name}", headers=BROWSER).text, deployed.get(f"/runbooks/{name}.md").text
    assert "127.0.0.1" not in page + text
    assert "default address" not in page
    source = (RUNBOOKS / f"{name}.md").read_text()
    assert text.count("https://monitor.example/starlight/") >= source.count("http://127.0.0.1:9877/")
    assert text.count("https://prometheus.example:9443/p") == source.count("http://127.0.0.1:9090")


def test_unknown_addresses_are_stated_and_the_exporters_own_is_that_of_the_request(unconfigured: httpx.Client) -> None:
    page = unconfigured.get("/runbooks/StarlightExporterDown.md", headers=BROWSER).text
    assert f"{unconfigured.base_url}/metrics" in page
    assert "--web.prometheus-url" in page
    # This runbook has no command with Alertmanager.
    assert "--web.alertmanager-url" not in page
    assert (
        "--web.alertmanager-url" in unconfigured.get("/runbooks/StarlightMonitoringReloadFailed", headers=BROWSER).text
    )


def test_html_of_a_runbook_is_text(deployed: httpx.Client) -> None:
    page = deployed.get("/runbooks/Hostile", headers=BROWSER).text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page
    assert "<script" not in page
    assert "<img" not in page
    assert 'href="javascript' not in page
    assert "<strong>bold</strong>" in page
    assert "<td>1</td>" in page
    assert "curl https://monitor.example/starlight/status.json http://127.0.0.1:90901/" in page
    assert "https://alerts.example/&lt;b&gt;" in page


def test_file_in_another_encoding_is_shown(deployed: httpx.Client) -> None:
    assert "Gr\ufffd\ufffde" in deployed.get("/runbooks/Latin", headers=BROWSER).text


@pytest.mark.parametrize("name", ["Missing", "Missing.md", "StarlightExporterDown.md.md", "StarlightExporterDown.html"])
def test_unknown_runbook_is_not_found(deployed: httpx.Client, name: str) -> None:
    assert deployed.get(f"/runbooks/{name}").status_code == 404
    assert "Not found" in deployed.get(f"/runbooks/{name}", headers=BROWSER).text


def test_addresses_are_replaced_in_one_pass() -> None:
    swapped = {"http://a": "http://b", "http://b": "http://a"}
    assert replace_addresses("http://a http://b http://a1", swapped) == "http://b http://a http://a1"
    assert replace_addresses("unchanged", {}) == "unchanged"
