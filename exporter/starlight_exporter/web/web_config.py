"""TLS and basic authentication, in the file format of the Prometheus exporter toolkit."""

from __future__ import annotations

import base64
import hashlib
import re
import ssl
import threading
from pathlib import Path
from typing import Annotated, Final, Literal, Self

import bcrypt
from pydantic import AfterValidator, Field, model_validator

from starlight_exporter.errors import ConfigError
from starlight_exporter.strict_yaml import StrictModel, load_strict

ClientAuth = Literal["NoClientCert", "RequireAndVerifyClientCert", "VerifyClientCertIfGiven"]
_CLIENT_AUTH: Final = {
    "NoClientCert": ssl.CERT_NONE,
    "VerifyClientCertIfGiven": ssl.CERT_OPTIONAL,
    "RequireAndVerifyClientCert": ssl.CERT_REQUIRED,
}
_TLS_VERSIONS: Final = {"TLS12": ssl.TLSVersion.TLSv1_2, "TLS13": ssl.TLSVersion.TLSv1_3}
_BCRYPT: Final = re.compile(r"(\$2[aby]\$)(0[4-9]|[12][0-9]|3[01])(\$[./A-Za-z0-9]{53})")
_CACHE_SIZE: Final = 100


def _bcrypt_hash(value: str) -> str:
    # The value stays out of the text: it may be a password that somebody forgot to hash.
    expected = "expected a bcrypt hash, such as `htpasswd -nBC 10 USER` prints after the colon"
    match = _BCRYPT.fullmatch(value)
    if match is None:
        raise ValueError(expected)
    try:
        # Tried at the lowest cost: that of the file may take seconds.
        bcrypt.checkpw(b"", f"{match[1]}04{match[3]}".encode())
    except ValueError as error:
        raise ValueError(expected) from error
    return value


class TlsServerConfig(StrictModel):
    """A certificate with its key, and whether clients have to show one."""

    cert_file: str
    key_file: str
    client_ca_file: str | None = None
    client_auth_type: ClientAuth = "NoClientCert"
    min_version: Literal["TLS12", "TLS13"] = "TLS12"

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.client_auth_type != "NoClientCert" and self.client_ca_file is None:
            raise ValueError(f"client_auth_type {self.client_auth_type} needs client_ca_file")
        return self


class WebConfig(StrictModel):
    """The file given as `--web.config.file`; empty: plain HTTP for everybody."""

    tls_server_config: TlsServerConfig | None = None
    basic_auth_users: dict[str, Annotated[str, AfterValidator(_bcrypt_hash)]] = Field(default_factory=dict, repr=False)


def load_web_config(path: Path) -> WebConfig:
    """The web configuration; ConfigError names file and key, never a secret."""
    return load_strict(path, WebConfig, secret="basic_auth_users")


def tls_context(config: TlsServerConfig, path: Path) -> ssl.SSLContext:
    """A server context; files are relative to the web configuration at `path`. ConfigError names the one at fault."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = _TLS_VERSIONS[config.min_version]
    cert, key = path.parent / config.cert_file, path.parent / config.key_file
    for name, file in (("cert_file", cert), ("key_file", key)):
        try:
            file.open("rb").close()
        except OSError as error:
            raise ConfigError(f"{path}: tls_server_config.{name}: {file}: {error.strerror}") from error
    try:
        # Without a password given, OpenSSL would ask for that of an encrypted key on the terminal.
        context.load_cert_chain(cert, key, password="")
    except (ssl.SSLError, OSError) as error:
        raise ConfigError(f"{path}: tls_server_config: {cert} and {key} are no certificate with its key") from error
    if config.client_ca_file is not None:
        authority = path.parent / config.client_ca_file
        try:
            context.load_verify_locations(authority)
        except (ssl.SSLError, OSError) as error:
            raise ConfigError(f"{path}: tls_server_config.client_ca_file: no certificates in {authority}") from error
    context.verify_mode = _CLIENT_AUTH[config.client_auth_type]
    return context


class Users:
    """Checks `Authorization` headers. A good one is remembered by its hash: bcrypt is slow on purpose."""

    def __init__(self, hashes: dict[str, str]) -> None:
        """At least one user with a bcrypt hash."""
        self._hashes = {user: value.encode() for user, value in hashes.items()}
        # Checked in place of an unknown user's, so that the time of an answer tells nobody who exists.
        self._costliest = max(self._hashes.values(), key=lambda value: value[4:6])
        self._good: set[bytes] = set()
        self._lock = threading.Lock()

    def remembered(self, header: str) -> bool:
        """Whether this very header was accepted before."""
        return _digest(header) in self._good

    def accept(self, header: str) -> bool:
        """Whether the header holds a user and the right password; takes as long for a user that does not exist."""
        scheme, _, encoded = header.partition(" ")
        try:
            user, colon, password = base64.b64decode(encoded, validate=True).decode().partition(":")
        except ValueError:
            # Neither base64 nor UTF-8, or not even ASCII.
            return False
        if scheme.lower() != "basic" or not colon or "\0" in password:
            return False
        try:
            right = bcrypt.checkpw(password.encode(), self._hashes.get(user, self._costliest))
        except ValueError:
            # bcrypt takes at most 72 bytes; no hash of a longer password can exist.
            return False
        if not right or user not in self._hashes:
            return False
        with self._lock:
            if len(self._good) >= _CACHE_SIZE:
                self._good.clear()
            self._good.add(_digest(header))
        return True


def _digest(header: str) -> bytes:
    return hashlib.sha256(header.encode("utf-8", "surrogateescape")).digest()
