"""TLS and basic authentication: the file, and what a server does with it over real sockets."""

from __future__ import annotations

import base64
import datetime
import io
import ipaddress
import socket
import ssl
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import bcrypt
import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from starlight_exporter.errors import ConfigError
from starlight_exporter.logs import configure_logging
from starlight_exporter.web import server
from starlight_exporter.web.authentication import Users
from starlight_exporter.web.web_config import load_web_config, tls_context
from support.snapshots import full_snapshot
from support.web import LocalServer, idle_application

SECRET = "hunter2-very-secret"
# A fixed salt: test names hold the hash, and are the same in every process.
HASH = bcrypt.hashpw(SECRET.encode(), b"$2b$05$abcdefghijklmnopqrstuu").decode()


class Authority:
    """A certificate authority of the test's own."""

    def __init__(self, name: str) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        builder = self._builder(self._name, self._key).add_extension(
            x509.BasicConstraints(ca=True, path_length=0), critical=True
        )
        self.certificate = builder.sign(self._key, hashes.SHA256())

    def write(self, file: Path) -> Path:
        file.write_bytes(self.certificate.public_bytes(serialization.Encoding.PEM))
        return file

    def issue(self, folder: Path, name: str, *, password: bytes | None = None) -> tuple[Path, Path]:
        """The files of a certificate for 127.0.0.1 and of its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        usages = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
        builder = self._builder(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]), key)
        builder = builder.add_extension(address, critical=False).add_extension(
            x509.ExtendedKeyUsage(usages), critical=False
        )
        certificate = builder.sign(self._key, hashes.SHA256())
        cert_file, key_file = folder / f"{name}.crt", folder / f"{name}.key"
        cert_file.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        encryption: serialization.KeySerializationEncryption = (
            serialization.NoEncryption() if password is None else serialization.BestAvailableEncryption(password)
        )
        key_file.write_bytes(
            key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, encryption)
        )
        return cert_file, key_file

    def _builder(self, subject: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
        now = datetime.datetime.now(datetime.UTC)
        own, issuer = key.public_key(), self._key.public_key()
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(own)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(hours=1))
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(own), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer), critical=False)
        )


@pytest.fixture(scope="module")
def authority() -> Authority:
    return Authority("tests")


def written(folder: Path, text: str) -> Path:
    file = folder / "web.yml"
    file.write_text(text)
    return file


def _load_with_certificates(file: Path) -> None:
    config = load_web_config(file)
    assert config.tls_server_config is not None
    tls_context(config.tls_server_config, file)


def error_of(file: Path) -> str:
    """The error of a file and of its certificates, without the file's name; never with a secret in it."""
    with pytest.raises(ConfigError) as caught:
        _load_with_certificates(file)
    text = str(caught.value)
    assert text.startswith(f"{file}: ")
    assert SECRET not in text
    assert HASH not in text
    return text.removeprefix(f"{file}: ")


# The file


def test_an_empty_file_is_plain_http_for_everybody(tmp_path: Path) -> None:
    config = load_web_config(written(tmp_path, ""))
    assert config.tls_server_config is None
    assert config.basic_auth_users == {}


def test_a_file_of_the_exporter_toolkit(tmp_path: Path, authority: Authority) -> None:
    authority.issue(tmp_path, "server")
    authority.write(tmp_path / "ca.crt")
    text = f"""
tls_server_config:
  cert_file: server.crt
  key_file: server.key
  client_auth_type: RequireAndVerifyClientCert
  client_ca_file: ca.crt
  min_version: TLS13
basic_auth_users:
  alice: {HASH}
"""
    file = written(tmp_path, text)
    config = load_web_config(file)
    assert config.basic_auth_users == {"alice": HASH}
    assert config.tls_server_config is not None
    context = tls_context(config.tls_server_config, file)
    assert context.minimum_version == ssl.TLSVersion.TLSv1_3
    assert context.verify_mode == ssl.CERT_REQUIRED
    assert HASH not in repr(config)


BCRYPT = "expected a bcrypt hash, such as `htpasswd -nBC 10 USER` prints after the colon"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("tls_server_config: {cert_file: a.crt}", "tls_server_config.key_file: is missing"),
        ("tls_server_config: {key_file: a.key}", "tls_server_config.cert_file: is missing"),
        (
            "tls_server_config: {cert_file: a, key_file: b, ciphers: c}",
            "tls_server_config.ciphers: unknown key; expected "
            "one of cert_file, key_file, client_ca_file, client_auth_type, min_version",
        ),
        (
            "tls_server_config: {cert_file: a, key_file: b, min_version: TLS10}",
            "tls_server_config.min_version: expected one of TLS12, TLS13; got 'TLS10'",
        ),
        (
            "tls_server_config: {cert_file: a, key_file: b, client_auth_type: RequireAndVerifyClientCert}",
            "tls_server_config: client_auth_type RequireAndVerifyClientCert needs client_ca_file",
        ),
        ("basic_auth_user: {}", "basic_auth_user: unknown key; did you mean basic_auth_users?"),
        (f"basic_auth_users: {{alice: {SECRET}}}", f"basic_auth_users.alice: {BCRYPT}"),
        (f"basic_auth_users: {{alice: '{HASH[:-1]}'}}", f"basic_auth_users.alice: {BCRYPT}"),
        (f"basic_auth_users: {{alice: '{HASH}x'}}", f"basic_auth_users.alice: {BCRYPT}"),
        (f"basic_auth_users: {{alice: '{HASH.replace('$2b$', '$9b$')}'}}", f"basic_auth_users.alice: {BCRYPT}"),
        ("basic_auth_users: {alice: 20261234}", "basic_auth_users.alice: expected a string; got something else"),
        ("basic_auth_users: {alice: 1999-12-31}", "basic_auth_users.alice: expected a string; got something else"),
        (
            f"basic_auth_users: alice:{SECRET}",
            "basic_auth_users: expected a mapping of keys to values; got something else",
        ),
        (f"basic_auth_users: [{SECRET}]", "basic_auth_users: expected a mapping of keys to values; got something else"),
        (f"alice:{SECRET}", "expected a mapping of keys to values; got something else"),
        (f"basic_auth_users: {{alice: !{SECRET} x}}", "line 1, column 27: not valid here"),
        (f"basic_auth_users: {{alice: *{SECRET}}}", "line 1, column 27: not valid here"),
        ("basic_auth_users: {alice: !!bool hunter2-very-secret}", "not YAML"),
    ],
)
def test_a_mistake_is_told_without_secrets(tmp_path: Path, text: str, expected: str) -> None:
    assert error_of(written(tmp_path, text)) == expected


def test_a_hash_of_the_highest_cost_is_checked_in_no_time(tmp_path: Path) -> None:
    began = time.monotonic()
    costly = HASH.replace("$05$", "$31$")
    assert load_web_config(written(tmp_path, f"basic_auth_users: {{a: '{costly}'}}")).basic_auth_users == {"a": costly}
    assert time.monotonic() - began < 2


def test_certificates_that_cannot_be_used(tmp_path: Path, authority: Authority) -> None:
    text = "tls_server_config: {cert_file: server.crt, key_file: server.key}"
    file = written(tmp_path, text)
    cert, key = tmp_path / "server.crt", tmp_path / "server.key"
    assert error_of(file) == f"tls_server_config.cert_file: {cert}: No such file or directory"
    cert.mkdir()
    assert error_of(file) == f"tls_server_config.cert_file: {cert}: Is a directory"
    cert.rmdir()
    authority.issue(tmp_path, "server")
    key.unlink()
    assert error_of(file) == f"tls_server_config.key_file: {key}: No such file or directory"
    authority.issue(tmp_path, "other")[1].rename(key)
    unusable = f"tls_server_config: {cert} and {key} are not a certificate and its key"
    assert error_of(file) == unusable
    key.write_text(SECRET)
    assert error_of(file) == unusable
    authority.issue(tmp_path, "server", password=SECRET.encode())
    assert error_of(file) == unusable
    authority.issue(tmp_path, "server")
    written(tmp_path, text.replace("}", ", client_auth_type: RequireAndVerifyClientCert, client_ca_file: ca.crt}"))
    assert error_of(file) == f"tls_server_config.client_ca_file: no certificates in {tmp_path / 'ca.crt'}"


# The users


def header(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def test_who_is_let_in() -> None:
    users = Users({"alice": HASH, "Zoë": HASH})
    right = header("alice", SECRET)
    assert not users.cached(right)
    assert users.accept(right)
    assert users.cached(right)
    assert users.accept(right.replace("Basic", "basic"))
    assert users.accept(header("Zoë", SECRET))


@pytest.mark.parametrize(
    "wrong",
    [
        "",
        "Basic",
        "Basic ",
        header("alice", "wrong"),
        header("alice", ""),
        header("alice", SECRET + "x"),
        header("alice", SECRET + "\0"),
        header("bob", SECRET),
        header("", SECRET),
        header("alice", "x" * 1000),
        header("alice", SECRET).replace("Basic", "Bearer"),
        header("alice", SECRET) + "!",
        "Basic " + base64.b64encode(b"alice").decode(),
        "Basic " + base64.b64encode(b"\xff\xfe:x").decode(),
        "Basic \xe9\xe9\xe9\xe9",
        f"Basic alice:{SECRET}",
    ],
)
def test_who_is_not(wrong: str) -> None:
    users = Users({"alice": HASH})
    assert not users.accept(wrong)
    assert not users.cached(wrong)


def test_the_memory_of_good_headers_is_bounded() -> None:
    cheap = {f"user{n}": bcrypt.hashpw(b"p", bcrypt.gensalt(4)).decode() for n in range(120)}
    users = Users(cheap)
    assert all(users.accept(header(name, "p")) for name in cheap)
    assert sum(users.cached(header(name, "p")) for name in cheap) <= 100


def test_an_unknown_user_takes_as_long_as_a_known_one() -> None:
    users = Users({"alice": bcrypt.hashpw(SECRET.encode(), bcrypt.gensalt(9)).decode()})

    def seconds(user: str) -> float:
        times = []
        for n in range(5):
            began = time.perf_counter()
            assert not users.accept(header(user, f"wrong{n}"))
            times.append(time.perf_counter() - began)
        return min(times)

    assert seconds("nobody") == pytest.approx(seconds("alice"), rel=0.6)


# A server with both


@pytest.fixture
def folder(tmp_path: Path, authority: Authority) -> Path:
    authority.issue(tmp_path, "server")
    authority.issue(tmp_path, "client")
    authority.write(tmp_path / "ca.crt")
    return tmp_path


def site(folder: Path, text: str) -> LocalServer:
    file = written(folder, text)
    config = load_web_config(file)
    users = Users(config.basic_auth_users) if config.basic_auth_users else None
    tls = None if config.tls_server_config is None else tls_context(config.tls_server_config, file)
    return LocalServer(idle_application(folder, full_snapshot()), users=users, tls=tls, lifecycle=True)


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


def test_over_tls_with_a_password(folder: Path, trusted: ssl.SSLContext, log: io.StringIO) -> None:
    with site(folder, TLS + USERS) as served, httpx.Client(base_url=served.url, verify=trusted) as client:
        for path in ("/metrics", "/", "/nowhere", "/api/v1/evaluations", "/-/healthy/", "/static/style.css"):
            answer = client.get(path)
            assert answer.status_code == 401, path
            assert answer.headers["www-authenticate"].startswith("Basic realm=")
            assert "default-src 'none'" in answer.headers["content-security-policy"]
        assert client.post("/-/reload").status_code == 401
        assert client.get("/-/healthy").text == "healthy\n"
        assert client.get("/-/ready").status_code == 503
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
    for secret in (SECRET, HASH, header("alice", SECRET)[6:]):
        assert secret not in text
    assert "Traceback" not in text


def test_a_password_alone_without_tls(folder: Path) -> None:
    with site(folder, USERS) as served:
        assert httpx.get(f"{served.url}/metrics").status_code == 401
        assert httpx.get(f"{served.url}/metrics", auth=("alice", SECRET)).status_code == 200


def test_guesses_of_passwords_leave_scrapes_alone(folder: Path) -> None:
    slow = bcrypt.hashpw(SECRET.encode(), bcrypt.gensalt(10)).decode()
    with (
        site(folder, f"basic_auth_users: {{alice: '{slow}'}}") as served,
        ThreadPoolExecutor(30) as guessers,
        httpx.Client(base_url=served.url, auth=("alice", SECRET)) as client,
    ):
        assert client.get("/metrics").status_code == 200
        guesses = [
            guessers.submit(httpx.get, f"{served.url}/metrics", auth=("alice", f"guess{n}"), timeout=60)
            for n in range(60)
        ]
        time.sleep(0.3)
        assert client.get("/metrics").status_code == 200
        assert any(not guess.done() for guess in guesses), "all guesses were answered before the scrape"
        assert {guess.result().status_code for guess in guesses} == {401}


def test_clients_that_never_finish_their_handshake_block_nobody(folder: Path, trusted: ssl.SSLContext) -> None:
    with site(folder, TLS) as served:
        idle = [socket.create_connection(("127.0.0.1", served.port)) for _ in range(60)]
        idle[0].sendall(b"\x16\x03\x01")
        try:
            began = time.monotonic()
            assert httpx.get(f"{served.url}/metrics", verify=trusted).status_code == 200
            assert time.monotonic() - began < 2
        finally:
            for connection in idle:
                connection.close()


def test_connections_that_ask_for_nothing_are_closed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "FIRST_REQUEST_SECONDS", 0.5)
    with site(folder, "") as served, socket.create_connection(("127.0.0.1", served.port), timeout=10) as idle:
        began = time.monotonic()
        assert idle.recv(100) == b""
        assert 0.3 < time.monotonic() - began < 5
        with httpx.Client(base_url=served.url) as client:
            assert client.get("/-/healthy").status_code == 200
            time.sleep(0.8)
            assert client.get("/-/healthy").status_code == 200


def test_a_client_certificate_may_be_required(folder: Path, authority: Authority, trusted: ssl.SSLContext) -> None:
    text = TLS.replace("}", ", client_auth_type: RequireAndVerifyClientCert, client_ca_file: ca.crt}")
    with site(folder, text) as served:
        with pytest.raises(httpx.TransportError):
            httpx.get(f"{served.url}/metrics", verify=trusted)
        strangers = Authority("somebody else")
        stranger = ssl.create_default_context(cafile=str(folder / "ca.crt"))
        stranger.load_cert_chain(*strangers.issue(folder, "stranger"))
        with pytest.raises(httpx.TransportError):
            httpx.get(f"{served.url}/metrics", verify=stranger)
        trusted.load_cert_chain(folder / "client.crt", folder / "client.key")
        assert httpx.get(f"{served.url}/metrics", verify=trusted).status_code == 200
    assert authority.certificate is not None


def test_a_client_certificate_may_be_left_out_where_it_is_optional(folder: Path, trusted: ssl.SSLContext) -> None:
    text = TLS.replace("}", ", client_auth_type: VerifyClientCertIfGiven, client_ca_file: ca.crt}")
    with site(folder, text) as served:
        assert httpx.get(f"{served.url}/metrics", verify=trusted).status_code == 200
        stranger = ssl.create_default_context(cafile=str(folder / "ca.crt"))
        stranger.load_cert_chain(*Authority("somebody else").issue(folder, "stranger"))
        with pytest.raises(httpx.TransportError):
            httpx.get(f"{served.url}/metrics", verify=stranger)


def test_old_versions_of_tls_are_refused(folder: Path, trusted: ssl.SSLContext) -> None:
    with site(folder, TLS.replace("}", ", min_version: TLS13}")) as served:
        assert httpx.get(f"{served.url}/-/healthy", verify=trusted).status_code == 200
        trusted.maximum_version = ssl.TLSVersion.TLSv1_2
        with pytest.raises(httpx.TransportError):
            httpx.get(f"{served.url}/-/healthy", verify=trusted)
