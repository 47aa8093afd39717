"""TLS over real sockets: passwords, client certificates, versions, and stalled clients."""

from __future__ import annotations

import base64
import io
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path

import bcrypt
import httpx
import pytest

from starlight_exporter.logs import configure_logging
from support.certificates import Authority
from support.snapshots import full_snapshot
from support.web import LocalServer, idle_application

SECRET = "hunter2-very-secret"
HASH = bcrypt.hashpw(SECRET.encode(), b"$2b$05$abcdefghijklmnopqrstuu").decode()


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority("tests")


@pytest.fixture
def folder(tmp_path: Path, authority: Authority) -> Path:
    authority.issue(tmp_path, "server")
    authority.issue(tmp_path, "client")
    authority.write(tmp_path / "ca.crt")
    return tmp_path


def serve(folder: Path, text: str) -> LocalServer:
    file = folder / "web.yml"
    file.write_text(text)
    return LocalServer(idle_application(folder, full_snapshot()), web_config=file, lifecycle=True)


TLS = "tls_server_config: {cert_file: server.crt, key_file: server.key}\n"
USERS = f"basic_auth_users: {{alice: '{HASH}'}}\n"


@pytest.fixture
def trusted(folder: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(folder / "ca.crt"))


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    stream = io.StringIO()
    configure_logging("logfmt", "debug", stream)
    yield stream
    configure_logging("logfmt", "info")


def test_password_over_tls_is_not_logged(folder: Path, trusted: ssl.SSLContext, log: io.StringIO) -> None:
    with serve(folder, TLS + USERS) as served, httpx.Client(base_url=served.url, verify=trusted) as client:
        for user, password in (("alice", "wrong"), ("bob", SECRET), ("", "")):
            assert client.get("/metrics", auth=(user, password)).status_code == 401
        strange = {b"Authorization": b"Basic \xe9\xff"}
        assert client.get("/metrics", headers=strange).status_code == 401
        for _ in range(3):
            answer = client.get("/metrics", auth=("alice", SECRET))
            assert answer.status_code == 200
            assert "starlight_detection_ratio" in answer.text
        with pytest.raises(httpx.TransportError):
            httpx.get(served.url.replace("https", "http"))
        with pytest.raises(httpx.ConnectError, match=r"certificate verify failed|CERTIFICATE_VERIFY_FAILED"):
            httpx.get(served.url)
    text = log.getvalue()
    for secret in (SECRET, HASH, base64.b64encode(f"alice:{SECRET}".encode()).decode()):
        assert secret not in text
    assert "Traceback" not in text


def test_unfinished_handshakes_do_not_block_requests(folder: Path, trusted: ssl.SSLContext) -> None:
    with serve(folder, TLS) as served:
        idle = [socket.create_connection(("127.0.0.1", served.port)) for _ in range(60)]
        idle[0].sendall(b"\x16\x03\x01")
        try:
            assert httpx.get(f"{served.url}/metrics", verify=trusted, timeout=30.0).status_code == 200
        finally:
            for connection in idle:
                connection.close()


def test_requires_client_certificate(folder: Path, authority: Authority, trusted: ssl.SSLContext) -> None:
    text = TLS.replace("}", ", client_auth_type: RequireAndVerifyClientCert, client_ca_file: ca.crt}")
    with serve(folder, text) as served:
        with pytest.raises(httpx.TransportError):
            httpx.get(f"{served.url}/metrics", verify=trusted)
        strangers = Authority("unknown")
        stranger = ssl.create_default_context(cafile=str(folder / "ca.crt"))
        stranger.load_cert_chain(*strangers.issue(folder, "stranger"))
        with pytest.raises(httpx.TransportError):
            httpx.get(f"{served.url}/metrics", verify=stranger)
        trusted.load_cert_chain(folder / "client.crt", folder / "client.key")
        assert httpx.get(f"{served.url}/metrics", verify=trusted).status_code == 200
    assert authority.certificate is not None


def test_authorities_may_have_comments_in_any_language(folder: Path, trusted: ssl.SSLContext) -> None:
    authorities = folder / "ca.crt"
    authorities.write_bytes("# Zertifizierungsstelle für Prüfungen\n".encode() + authorities.read_bytes())
    text = TLS.replace("}", ", client_auth_type: RequireAndVerifyClientCert, client_ca_file: ca.crt}")
    trusted.load_cert_chain(folder / "client.crt", folder / "client.key")
    with serve(folder, text) as served:
        assert httpx.get(f"{served.url}/-/healthy", verify=trusted).status_code == 200


def test_client_certificate_is_optional_with_verify_if_given(folder: Path, trusted: ssl.SSLContext) -> None:
    text = TLS.replace("}", ", client_auth_type: VerifyClientCertIfGiven, client_ca_file: ca.crt}")
    with serve(folder, text) as served:
        assert httpx.get(f"{served.url}/metrics", verify=trusted).status_code == 200
        stranger = ssl.create_default_context(cafile=str(folder / "ca.crt"))
        stranger.load_cert_chain(*Authority("unknown").issue(folder, "stranger"))
        with pytest.raises(httpx.TransportError):
            httpx.get(f"{served.url}/metrics", verify=stranger)


def test_rejects_tls_versions_below_the_minimum(folder: Path, trusted: ssl.SSLContext) -> None:
    with serve(folder, TLS.replace("}", ", min_version: TLS13}")) as served:
        assert httpx.get(f"{served.url}/-/healthy", verify=trusted).status_code == 200
        trusted.maximum_version = ssl.TLSVersion.TLSv1_2
        with pytest.raises(httpx.TransportError):
            httpx.get(f"{served.url}/-/healthy", verify=trusted)
