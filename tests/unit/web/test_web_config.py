"""The web configuration file: valid files, and errors without secrets."""

from __future__ import annotations

import ssl
import time
from pathlib import Path

import bcrypt
import pytest

from starlight_exporter.errors import ConfigError
from starlight_exporter.web.web_config import load_web_config, tls_context
from support.certificates import Authority

SECRET = "hunter2-very-secret"
# A fixed salt, because test names contain the hash and must be the same in every process.
HASH = bcrypt.hashpw(SECRET.encode(), b"$2b$05$abcdefghijklmnopqrstuu").decode()


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
    """Return the error of a file or its certificates without the file name; it must not contain a secret."""
    with pytest.raises(ConfigError) as caught:
        _load_with_certificates(file)
    text = str(caught.value)
    assert text.startswith(f"{file}: ")
    assert SECRET not in text
    assert HASH not in text
    return text.removeprefix(f"{file}: ")


def test_empty_file_disables_tls_and_authentication(tmp_path: Path) -> None:
    config = load_web_config(written(tmp_path, ""))
    assert config.tls_server_config is None
    assert config.basic_auth_users == {}


def test_reads_file_of_the_exporter_toolkit(tmp_path: Path, authority: Authority) -> None:
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
def test_error_contains_no_secret(tmp_path: Path, text: str, expected: str) -> None:
    assert error_of(written(tmp_path, text)) == expected


def test_hash_of_highest_cost_is_validated_quickly(tmp_path: Path) -> None:
    began = time.monotonic()
    costly = HASH.replace("$05$", "$31$")
    assert load_web_config(written(tmp_path, f"basic_auth_users: {{a: '{costly}'}}")).basic_auth_users == {"a": costly}
    # A check at cost 31 takes days.
    assert time.monotonic() - began < 60


def test_rejects_unusable_certificates(tmp_path: Path, authority: Authority) -> None:
    text = "tls_server_config: {cert_file: server.crt, key_file: server.key}"
    file = written(tmp_path, text)
    cert, key = tmp_path / "server.crt", tmp_path / "server.key"
    assert error_of(file) == f"tls_server_config.cert_file: {cert}: No such file or directory"
    cert.mkdir()
    assert error_of(file) == f"tls_server_config.cert_file: {cert}: is a directory, not a regular file"
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
    ca = tmp_path / "ca.crt"
    assert error_of(file) == f"tls_server_config.client_ca_file: {ca}: No such file or directory"
    ca.write_text("no certificate")
    assert error_of(file) == f"tls_server_config.client_ca_file: no certificates in {ca}"
