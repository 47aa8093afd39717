"""The web configuration file: TLS and basic authentication, in the format of the Prometheus exporter toolkit."""

from __future__ import annotations

import re
import ssl
from pathlib import Path
from typing import Annotated, Final, Literal, Self

import bcrypt
from pydantic import AfterValidator, Field, model_validator

from starlight_exporter.pem_files import load_authorities, load_identity
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


def named_files(config: WebConfig, path: Path) -> list[Path]:
    """Return the files that the web configuration at `path` names."""
    tls = config.tls_server_config
    names = [] if tls is None else [tls.cert_file, tls.key_file, tls.client_ca_file]
    return [path.parent / name for name in names if name is not None]


def secret_files(config: WebConfig, path: Path) -> list[Path]:
    """Return the files that only the exporter should be able to read: the web configuration and the key."""
    tls = config.tls_server_config
    return [path] if tls is None else [path, path.parent / tls.key_file]


def tls_context(config: TlsServerConfig, path: Path) -> ssl.SSLContext:
    """Return the server context; paths are relative to the web configuration at `path`. ConfigError names the file."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = _TLS_VERSIONS[config.min_version]
    section = f"{path}: tls_server_config"
    load_identity(context, path.parent / config.cert_file, path.parent / config.key_file, section)
    if config.client_ca_file is not None:
        load_authorities(context, path.parent / config.client_ca_file, f"{section}.client_ca_file")
    context.verify_mode = _CLIENT_AUTH[config.client_auth_type]
    return context
