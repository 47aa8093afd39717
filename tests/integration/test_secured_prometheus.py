"""The markdown dashboard from a Prometheus with TLS and basic authentication; passwords are never shown."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import bcrypt
import pytest

from starlight_exporter.errors import MonitoringError
from starlight_exporter.http_client_config import load_http_client
from support.certificates import Authority
from support.servers import Server, free_port, program
from support.waiting import wait_until

pytestmark = pytest.mark.integration

SECRET = "hunter2-very-secret"
HASH = bcrypt.hashpw(SECRET.encode(), bcrypt.gensalt(5)).decode()
HOST = "prometheus.internal"

SERVER = f"""
basic_auth_users: {{ops: '{HASH}'}}
tls_server_config:
  cert_file: server.crt
  key_file: server.key
  client_ca_file: ca.crt
  client_auth_type: RequireAndVerifyClientCert
"""
CLIENT = f"""
basic_auth: {{username: ops, password_file: password}}
tls_config: {{ca_file: ca.crt, cert_file: client.crt, key_file: client.key, server_name: {HOST}}}
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Certificates, password, and the configuration of a client."""
    place = tmp_path_factory.mktemp("secured")
    authority = Authority("tests")
    authority.write(place / "ca.crt")
    authority.issue(place, "server", host=HOST)
    authority.issue(place, "client")
    Authority("others").write(place / "other.crt")
    (place / "password").write_text(f"{SECRET}\n")
    (place / "client.yml").write_text(CLIENT)
    (place / "web.yml").write_text(SERVER)
    (place / "prometheus.yml").write_text("global: {scrape_interval: 15s}\n")
    return place


@pytest.fixture(scope="module")
def prometheus(folder: Path) -> Iterator[str]:
    """The URL of a Prometheus that requires a client certificate and a password."""
    port = free_port()
    command = [
        program("prometheus"),
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={folder / 'tsdb'}",
        f"--web.listen-address=127.0.0.1:{port}",
        f"--web.config.file={folder / 'web.yml'}",
    ]
    with Server(command, port=port, ready_path="/-/ready", log=folder / "prometheus.log") as server:
        url = f"https://127.0.0.1:{port}"

        def ready() -> bool:
            assert server.process.poll() is None, server.log.read_text()
            try:
                return bool(load_http_client(folder / "client.yml").get(f"{url}/-/ready"))
            except OSError:
                return False

        wait_until(ready, "Prometheus ready")
        yield url


def dashboard(*arguments: str) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-m", "starlight_exporter.cli.main", "dashboard", *arguments]
    return subprocess.run(words, capture_output=True, text=True, check=False, timeout=120)


def test_document_is_written_with_password_and_client_certificate(
    prometheus: str, folder: Path, tmp_path: Path
) -> None:
    output = tmp_path / "dashboard.md"
    done = dashboard(
        f"--prometheus={prometheus}", f"--prometheus.config.file={folder / 'client.yml'}", f"--output={output}"
    )
    assert done.returncode == 0, done.stderr
    text = output.read_text()
    assert "Prometheus has no current value of a production model" in text
    assert SECRET not in text + done.stdout + done.stderr


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("password_file: password", "password_file: ca.crt", "Prometheus responded with 401"),
        ("ca_file: ca.crt", "ca_file: other.crt", "certificate verify failed"),
        (f", server_name: {HOST}", "", "certificate is not valid for '127.0.0.1'"),
        (", cert_file: client.crt, key_file: client.key", "", "Prometheus is unavailable"),
    ],
)
def test_wrong_settings_are_an_error_without_the_password(
    prometheus: str, folder: Path, old: str, new: str, reason: str
) -> None:
    config = folder / "wrong.yml"
    assert old in CLIENT
    config.write_text(CLIENT.replace(old, new))
    with pytest.raises(MonitoringError) as raised:
        load_http_client(config).get_json(f"{prometheus}/api/v1/query?query=up", "Prometheus")
    message = str(raised.value)
    assert message.startswith(f"{prometheus}/api/v1/query: Prometheus ")
    assert reason in message
    assert SECRET not in message


@pytest.mark.parametrize("flag", ["--prometheus", "--alertmanager"])
def test_password_in_a_url_is_refused_and_not_shown(flag: str, tmp_path: Path) -> None:
    output = tmp_path / "dashboard.md"
    url = f"http://ops:{SECRET}@127.0.0.1:9"
    first = [] if flag == "--prometheus" else ["--prometheus=http://127.0.0.1:9"]
    done = dashboard(*first, f"{flag}={url}", f"--output={output}")
    assert done.returncode == 2
    assert f"argument {flag}: credentials in the URL are not supported" in done.stderr
    assert "--prometheus.config.file" in done.stderr
    assert SECRET not in done.stderr
    assert not output.exists()


def test_unreadable_password_is_reported_before_the_first_update(tmp_path: Path) -> None:
    config = tmp_path / "client.yml"
    config.write_text("basic_auth: {username: ops, password_file: missing}\n")
    done = dashboard(
        "--prometheus=http://127.0.0.1:9", f"--prometheus.config.file={config}", f"--output={tmp_path / 'd.md'}",
        "--watch=1s",
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr == (
        f"starlight dashboard: {config}: basic_auth.password_file: {tmp_path / 'missing'}: No such file or directory\n"
    )
