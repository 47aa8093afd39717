"""The web configuration file: TLS and basic authentication, in the format of the Prometheus exporter toolkit."""

from __future__ import annotations

import re
import ssl
from pathlib import Path
from typing import Annotated, Final, Literal, Self

import bcrypt
from pydantic import AfterValidator, Field, model_validator

from starlight_exporter.errors import ConfigError
from starlight_exporter.file_access import open_regular
from starlight_exporter.strict_yaml import StrictModel, load_strict

ClientAuth = Literal["NoClientCert", "RequireAndVerifyClientCert", "VerifyClientCertIfGiven"]
_CLIENT_AUTH: Final = {
    "NoClientCert": ssl.CERT_NONE,
    "VerifyClientCertIfGiven": ssl.CERT_OPTIONAL,
    "RequireAndVerifyClientCert": ssl.CERT_REQUIRED,
}
_TLS_VERSIONS: Final = {"TLS12": ssl.TLSVersion.TLSv1_2, "TLS13": ssl.TLSVersion.TLSv1_3}
_BCRYPT: Final = re.compile(r"(\$2[aby]\$)(0[4-9]|[12][0-9]|3[01])(\$[./A-Za-z0-9]{53})")


def _bcrypt_hash(value: str) -> str:
    # The error must not contain the value: it may be a password that was not hashed.
    expected = "expected a bcrypt hash, such as `htpasswd -nBC 10 USER` prints after the colon"
    match = _BCRYPT.fullmatch(value)
    if match is None:
        raise ValueError(expected)
    try:
        # At the lowest cost, because the file's own cost may take seconds.
        bcrypt.checkpw(b"", f"{match[1]}04{match[3]}".encode())
    except ValueError as error:
        raise ValueError(expected) from error
    return value


class TlsServerConfig(StrictModel):
    """The server certificate with its key, and whether client certificates are required."""

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
    """The file given as `--web.config.file`; an empty file means plain HTTP without authentication."""

    tls_server_config: TlsServerConfig | None = None
    basic_auth_users: dict[str, Annotated[str, AfterValidator(_bcrypt_hash)]] = Field(default_factory=dict, repr=False)


def load_web_config(path: Path) -> WebConfig:
    """Load the web configuration; ConfigError names file and key, never a secret."""
    return load_strict(path, WebConfig, secret="basic_auth_users")


def tls_context(config: TlsServerConfig, path: Path) -> ssl.SSLContext:
    """Return the server context; paths are relative to the web configuration at `path`. ConfigError names the file."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = _TLS_VERSIONS[config.min_version]
    cert, key = path.parent / config.cert_file, path.parent / config.key_file
    for name, file in (("cert_file", cert), ("key_file", key)):
        try:
            open_regular(file).close()
        except OSError as error:
            raise ConfigError(f"{path}: tls_server_config.{name}: {file}: {error.strerror}") from error
    try:
        # Without a password argument, OpenSSL would prompt for the password of an encrypted key.
        context.load_cert_chain(cert, key, password="")
    except (ssl.SSLError, OSError) as error:
        raise ConfigError(f"{path}: tls_server_config: {cert} and {key} are not a certificate and its key") from error
    if config.client_ca_file is not None:
        authority = path.parent / config.client_ca_file
        try:
            context.load_verify_locations(authority)
        except (ssl.SSLError, OSError) as error:
            raise ConfigError(f"{path}: tls_server_config.client_ca_file: no certificates in {authority}") from error
    context.verify_mode = _CLIENT_AUTH[config.client_auth_type]
    return context
