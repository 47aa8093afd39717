"""The proxy in front of Alertmanager: web pages of other sites can neither read nor silence alerts."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from stack.alertmanager_gate import MAX_BODY_BYTES
from stack.configuration import write_access
from stack.passwords import make_password
from starlight_exporter.errors import MonitoringError
from starlight_exporter.http_client_config import Endpoint
from starlight_exporter.markdown.alerts import with_silences
from support.alertmanager import Alertmanager, alert
from support.servers import Server, free_port, program
from support.waiting import wait_until

pytestmark = pytest.mark.integration

CONFIG = "route: {receiver: none}\nreceivers: [{name: none}]\n"
FOREIGN = {"Origin": "http://attacker.example"}


@dataclass(frozen=True)
class Place:
    """URLs of the proxy and of the Alertmanager behind it, and the configuration of its clients."""

    gate: str
    behind: str
    client: Path


class SecuredAlertmanager(Alertmanager):
    """An Alertmanager that requires a password, also for its readiness."""

    def wait_ready(self, timeout: float = 0.0) -> SecuredAlertmanager:  # noqa: ARG002  # the proxy waits
        return self


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("gate")
    secret = folder / "password"
    access = write_access(folder, make_password(secret, mode=0o600), secret)
    config = folder / "alertmanager.yml"
    config.write_text(CONFIG)
    flags = (f"--web.config.file={access.server}",)
    with SecuredAlertmanager(config, folder / "am", log=folder / "am.log", flags=flags) as behind:
        port = free_port()
        command = [
            *(sys.executable, "-m", "stack.alertmanager_gate", f"--web.listen-address=127.0.0.1:{port}"),
            *(f"--alertmanager={behind.url}", f"--alertmanager.config.file={access.client}"),
        ]
        with Server(command, port=port, ready_path="/-/ready", log=folder / "gate.log") as gate:
            gate.wait_ready()
            yield Place(gate.url, behind.url, access.client)


def silences(place: Place) -> list[object]:
    """Return the silences."""
    return list(httpx.get(f"{place.gate}/api/v2/silences").raise_for_status().json())


SILENCE = {
    "matchers": [{"name": "model", "value": "production", "isRegex": False}],
    "startsAt": "2026-01-01T00:00:00Z",
    "endsAt": "2100-01-01T00:00:00Z",
    "createdBy": "test",
    "comment": "test",
}


def test_alertmanager_itself_requires_the_password(place: Place) -> None:
    assert httpx.get(f"{place.behind}/api/v2/alerts").status_code == 401
    assert httpx.post(f"{place.behind}/api/v2/silences", json=SILENCE, headers=FOREIGN).status_code == 401


def test_markdown_dashboard_reads_silences_with_the_password(place: Place) -> None:
    assert with_silences((), Endpoint(place.behind, place.client)) == ()
    with pytest.raises(MonitoringError, match="Alertmanager responded with 401"):
        with_silences((), Endpoint(place.behind))


def test_programs_use_the_api_as_before(place: Place) -> None:
    posted = httpx.post(f"{place.gate}/api/v2/alerts", json=[alert("StarlightTest", "warning", model="v9 ö")])
    assert posted.status_code == 200
    found = httpx.get(f"{place.gate}/api/v2/alerts", params={"filter": 'model="v9 ö"'}).json()
    assert [one["labels"]["alertname"] for one in found] == ["StarlightTest"]
    words = [program("amtool"), f"--alertmanager.url={place.gate}", "silence"]
    added = subprocess.run(
        [*words, "add", "--author=test", "--comment=test", "model=production"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert len(silences(place)) == 1
    subprocess.run([*words, "expire", added.stdout.strip()], check=True)


@pytest.mark.parametrize("headers", [FOREIGN, {"Sec-Fetch-Site": "cross-site"}, {"Origin": "null"}])
def test_other_sites_cannot_silence(place: Place, headers: dict[str, str]) -> None:
    before = silences(place)
    assert httpx.post(f"{place.gate}/api/v2/silences", json=SILENCE, headers=headers).status_code == 403
    assert silences(place) == before


def test_own_pages_can_silence(place: Place) -> None:
    answer = httpx.post(f"{place.gate}/api/v2/silences", json=SILENCE, headers={"Origin": place.gate})
    assert answer.status_code == 200
    assert httpx.delete(f"{place.gate}/api/v2/silence/{answer.json()['silenceID']}").status_code == 200


def test_other_sites_cannot_read(place: Place) -> None:
    preflight = FOREIGN | {"Access-Control-Request-Method": "POST"}
    for answer in (
        httpx.get(f"{place.gate}/api/v2/status", headers=FOREIGN),
        httpx.options(f"{place.gate}/api/v2/silences", headers=preflight),
    ):
        assert not [name for name in answer.headers if name.startswith("access-control-")]


def test_other_host_names_are_rejected(place: Place) -> None:
    assert httpx.get(f"{place.gate}/api/v2/status", headers={"Host": "rebound.attacker.example"}).status_code == 421


def test_too_large_body_is_rejected(place: Place) -> None:
    body = b" " * (MAX_BODY_BYTES + 1)
    assert httpx.post(f"{place.gate}/api/v2/alerts", content=body, timeout=60.0).status_code == 413


def test_missing_alertmanager_is_a_bad_gateway(tmp_path: Path) -> None:
    port, closed = free_port(), free_port()
    command = [
        *(sys.executable, "-m", "stack.alertmanager_gate", f"--web.listen-address=127.0.0.1:{port}"),
        f"--alertmanager=http://127.0.0.1:{closed}",
    ]
    with Server(command, port=port, ready_path="/-/ready", log=tmp_path / "gate.log") as gate:

        def refused() -> bool:
            try:
                return httpx.get(f"{gate.url}/-/ready").status_code == 502
            except httpx.TransportError:
                return False

        wait_until(refused, "502")
        gate.process.terminate()
        assert gate.process.wait(30) == 0
