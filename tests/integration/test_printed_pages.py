"""Links that `scripts/up` prints lead to pages of the installed Prometheus and Alertmanager, or are left out."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from stack.pages import ALERTMANAGER_PAGES, PROMETHEUS_PAGES, page_address
from support.alertmanager import Alertmanager
from support.servers import Prometheus, free_port, put_prometheus_3_first

pytestmark = pytest.mark.integration


@pytest.fixture(params=["installed", "Prometheus 3"])
def version(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "Prometheus 3":
        put_prometheus_3_first(monkeypatch)
    return str(request.param)


def test_link_to_prometheus_is_its_page_of_alerts(version: str, tmp_path: Path) -> None:
    config = tmp_path / "prometheus.yml"
    config.write_text("global: {}\n")
    with Prometheus(config, tmp_path / "tsdb", log=tmp_path / "log") as prometheus:
        shown = page_address(prometheus.url, PROMETHEUS_PAGES)
        pages = [url for path in PROMETHEUS_PAGES if httpx.get(url := f"{prometheus.url}{path}").status_code == 200]
        # Packages that are only unpacked have no pages.
        assert pages or version != "installed"
        assert shown == (pages[0] if pages else f"no pages in this version; API at {prometheus.url}/api/")


@pytest.mark.usefixtures("version")
def test_alertmanager_without_pages_has_no_link(tmp_path: Path) -> None:
    config = tmp_path / "alertmanager.yml"
    config.write_text("route: {receiver: none}\nreceivers: [{name: none}]\n")
    with Alertmanager(config, tmp_path / "data", log=tmp_path / "log", port=free_port()) as alertmanager:
        shown = page_address(alertmanager.url, ALERTMANAGER_PAGES)
        if "does not include a web" in httpx.get(alertmanager.url).text:
            assert shown == f"no pages in this version; API at {alertmanager.url}/api/"
        else:
            assert shown == f"{alertmanager.url}/"


def test_server_that_does_not_answer_has_no_link() -> None:
    assert page_address(f"http://127.0.0.1:{free_port()}", ("/",)).startswith("no pages")
