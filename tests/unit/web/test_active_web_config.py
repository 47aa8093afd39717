"""The web configuration after changes of its files: passwords, certificates, client authorities, and invalid files."""

from __future__ import annotations

import io
import os
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import bcrypt
import httpx
import pytest
from cryptography import x509

from starlight_exporter.logs import configure_logging
from starlight_exporter.runs.application import Application
from support.certificates import Authority
from support.snapshots import full_snapshot
from support.web import LocalServer, idle_application, write_users

OLD, NEW = "old-very-secret", "new-very-secret"
TLS = "tls_server_config: {cert_file: server.crt, key_file: server.key}\n"


def hashed(password: str) -> str:
    return bcrypt.hashpw(password.encode(), bcrypt.gensalt(4)).decode()


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    stream = io.StringIO()
    configure_logging("logfmt", "debug", stream)
    yield stream
    configure_logging("logfmt", "info")


@pytest.fixture
def application(tmp_path: Path) -> Application:
    return idle_application(tmp_path, full_snapshot())


def metric(client: httpx.Client, name: str, password: str) -> float:
    text = client.get("/metrics", auth=("alice", password)).raise_for_status().text
    (line,) = (line for line in text.splitlines() if line.startswith(f"starlight_web_config_{name} "))
    return float(line.split()[1])


def test_revoked_password_is_rejected_on_an_open_connection(tmp_path: Path, application: Application) -> None:
    file = write_users(tmp_path, {"alice": hashed(OLD)})
    with LocalServer(application, web_config=file) as server, httpx.Client(base_url=server.url) as client:
        for _ in range(2):
            assert client.get("/metrics", auth=("alice", OLD)).status_code == 200
        loaded_at = metric(client, "last_reload_success_timestamp_seconds", OLD)
        write_users(tmp_path, {"alice": hashed(NEW)})
        assert client.get("/metrics", auth=("alice", OLD)).status_code == 401
        assert client.get("/metrics", auth=("alice", NEW)).status_code == 200
        assert metric(client, "last_reload_successful", NEW) == 1
        assert metric(client, "last_reload_success_timestamp_seconds", NEW) > loaded_at


def test_replaced_link_is_a_change(tmp_path: Path, application: Application) -> None:
    for name, password in (("a", OLD), ("b", NEW)):
        (tmp_path / name).mkdir()
        write_users(tmp_path / name, {"alice": hashed(password)})
    (tmp_path / "current").symlink_to("a")
    file = tmp_path / "current" / "web.yml"
    with LocalServer(application, web_config=file) as server, httpx.Client(base_url=server.url) as client:
        assert client.get("/metrics", auth=("alice", OLD)).status_code == 200
        (tmp_path / "next").symlink_to("b")
        (tmp_path / "next").rename(tmp_path / "current")
        assert client.get("/metrics", auth=("alice", OLD)).status_code == 401


def test_invalid_file_keeps_the_previous_users(tmp_path: Path, application: Application, log: io.StringIO) -> None:
    file = write_users(tmp_path, {"alice": hashed(OLD)})
    with (
        LocalServer(application, web_config=file, lifecycle=True) as server,
        httpx.Client(base_url=server.url, auth=("alice", OLD)) as client,
    ):
        file.write_text(f"basic_auth_users: {{alice: {NEW}}}")
        for _ in range(5):
            assert client.get("/metrics").status_code == 200
        assert metric(client, "last_reload_successful", OLD) == 0
        assert log.getvalue().count("web configuration not reloaded") == 1
        assert NEW not in log.getvalue()
        answer = client.post("/-/reload")
        assert answer.status_code == 500
        assert "basic_auth_users.alice: expected a bcrypt hash" in answer.text
        write_users(tmp_path, {"alice": hashed(NEW)})
        assert client.post("/-/reload", auth=("alice", NEW)).status_code == 200
        assert metric(client, "last_reload_successful", NEW) == 1


@pytest.mark.parametrize("content", ["", TLS])
def test_protection_cannot_be_switched_off_or_to_tls(
    tmp_path: Path, application: Application, log: io.StringIO, content: str
) -> None:
    Authority("tests").issue(tmp_path, "server")
    file = write_users(tmp_path, {"alice": hashed(OLD)})
    with LocalServer(application, web_config=file) as server, httpx.Client(base_url=server.url) as client:
        file.write_text(content)
        assert client.get("/metrics").status_code == 401
        assert metric(client, "last_reload_successful", OLD) == 0
        assert "requires a restart" in log.getvalue()


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir])
def test_file_that_is_not_regular_does_not_block(tmp_path: Path, application: Application, make: object) -> None:
    assert callable(make)
    file = write_users(tmp_path, {"alice": hashed(OLD)})
    with LocalServer(application, web_config=file) as server, httpx.Client(base_url=server.url, timeout=30) as client:
        file.unlink()
        make(file)
        assert metric(client, "last_reload_successful", OLD) == 0


def certificate_serial(server: LocalServer) -> int:
    pem = ssl.get_server_certificate(("127.0.0.1", server.port), timeout=30)
    return x509.load_pem_x509_certificate(pem.encode()).serial_number


def serial_of(file: Path) -> int:
    return x509.load_pem_x509_certificate(file.read_bytes()).serial_number


def test_rotated_certificate_is_served_to_new_connections(
    tmp_path: Path, application: Application, log: io.StringIO
) -> None:
    authority = Authority("tests")
    cert, key = authority.issue(tmp_path, "server")
    file = tmp_path / "web.yml"
    file.write_text(TLS)
    trusted = ssl.create_default_context(cafile=str(authority.write(tmp_path / "ca.crt")))
    with LocalServer(application, web_config=file) as server:
        with httpx.Client(base_url=server.url, verify=trusted) as client:
            assert client.get("/metrics").status_code == 200
            first = certificate_serial(server)
            assert first == serial_of(cert)
            new_cert, new_key = authority.issue(tmp_path, "next")
            serial = serial_of(new_cert)
            new_cert.rename(cert)
            assert certificate_serial(server) == first
            assert log.getvalue().count("web configuration not reloaded") == 1
            new_key.rename(key)
            assert certificate_serial(server) == serial
            assert client.get("/metrics").status_code == 200
        assert httpx.get(f"{server.url}/metrics", verify=trusted).status_code == 200


def test_client_certificates_can_become_required(tmp_path: Path, application: Application) -> None:
    authority = Authority("tests")
    authority.issue(tmp_path, "server")
    client_files = authority.issue(tmp_path, "client")
    trusted = ssl.create_default_context(cafile=str(authority.write(tmp_path / "ca.crt")))
    file = tmp_path / "web.yml"
    file.write_text(TLS)
    with LocalServer(application, web_config=file) as server:
        assert httpx.get(f"{server.url}/metrics", verify=trusted).status_code == 200
        file.write_text(TLS.replace("}", ", client_auth_type: RequireAndVerifyClientCert, client_ca_file: ca.crt}"))
        with pytest.raises(httpx.TransportError):
            httpx.get(f"{server.url}/metrics", verify=trusted)
        trusted.load_cert_chain(*client_files)
        assert httpx.get(f"{server.url}/metrics", verify=trusted).status_code == 200
        Authority("other").write(tmp_path / "ca.crt")
        with pytest.raises(httpx.TransportError):
            httpx.get(f"{server.url}/metrics", verify=trusted)


def test_file_that_others_can_read_is_a_warning_once_per_change(
    tmp_path: Path, application: Application, log: io.StringIO
) -> None:
    file = write_users(tmp_path, {"alice": hashed(OLD)})
    file.chmod(0o640)
    with LocalServer(application, web_config=file) as server, httpx.Client(base_url=server.url) as client:
        for _ in range(3):
            assert client.get("/metrics", auth=("alice", OLD)).status_code == 200
        assert log.getvalue().count("readable by other users") == 1
        assert f"file={file} mode=0640" in log.getvalue()
        file.chmod(0o600)
        assert client.get("/metrics", auth=("alice", OLD)).status_code == 200
    assert log.getvalue().count("readable by other users") == 1


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to another user")
def test_file_of_another_owner_may_be_readable_for_the_group(
    tmp_path: Path, application: Application, log: io.StringIO
) -> None:
    """As a mounted Secret of Kubernetes: its owner is root, its group that of the pod."""
    file = write_users(tmp_path, {"alice": hashed(OLD)})
    os.chown(file, 12345, os.getegid())
    file.chmod(0o440)
    with LocalServer(application, web_config=file) as server, httpx.Client(base_url=server.url) as client:
        assert client.get("/metrics", auth=("alice", OLD)).status_code == 200
        assert "readable by other users" not in log.getvalue()
        file.chmod(0o444)
        assert client.get("/metrics", auth=("alice", OLD)).status_code == 200
        assert log.getvalue().count("readable by other users") == 1


def test_concurrent_requests_load_a_change_once(tmp_path: Path, application: Application, log: io.StringIO) -> None:
    file = write_users(tmp_path, {"alice": hashed(OLD)})
    with LocalServer(application, web_config=file) as server:
        write_users(tmp_path, {"alice": hashed(NEW)})
        codes: list[int] = []

        def scrape() -> None:
            codes.append(httpx.get(f"{server.url}/metrics", auth=("alice", NEW), timeout=60).status_code)

        threads = [threading.Thread(target=scrape) for _ in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert codes == [200] * 20
    assert log.getvalue().count("web configuration reloaded") == 1
