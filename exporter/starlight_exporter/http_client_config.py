"""Configuration file of an HTTP client: authentication and TLS, with the keys of Prometheus' `http_config`."""

from __future__ import annotations

import re
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

from pydantic import field_validator, model_validator

from starlight_exporter.errors import ConfigError
from starlight_exporter.file_access import read_content
from starlight_exporter.http_client import HttpClient, basic_authorization
from starlight_exporter.pem_files import load_authorities, load_identity
from starlight_exporter.strict_yaml import StrictModel, load_strict

MAX_SECRET_BYTES: Final = 64 * 1024


class BasicAuth(StrictModel):
    """User name, and the file with the password. Passwords in the configuration itself are refused."""

    username: str
    password_file: str

    @field_validator("username")
    @classmethod
    def _without_colon(cls, value: str) -> str:
        if ":" in value:
            raise ValueError("expected a name without a colon, which separates it from the password")
        return value


class Authorization(StrictModel):
    """Type and credentials of the Authorization header; the credentials are the content of a file."""

    type: str = "Bearer"
    credentials_file: str

    @model_validator(mode="after")
    def _not_basic(self) -> Self:
        if self.type.strip().lower() == "basic":
            raise ValueError("type Basic: use basic_auth instead")
        if not re.fullmatch(r"[!-~]+", self.type):
            raise ValueError("type: expected a word such as Bearer")
        return self


class TlsConfig(StrictModel):
    """Certificate authorities, client certificate, and the name in the server's certificate if it is not the host."""

    ca_file: str | None = None
    cert_file: str | None = None
    key_file: str | None = None
    server_name: str | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.cert_file is None) != (self.key_file is None):
            raise ValueError("expected both cert_file and key_file")
        return self


class HttpClientConfig(StrictModel):
    """The file given as `--prometheus.config.file` or `--alertmanager.config.file`."""

    basic_auth: BasicAuth | None = None
    authorization: Authorization | None = None
    tls_config: TlsConfig | None = None

    @model_validator(mode="after")
    def _one_authentication(self) -> Self:
        if self.basic_auth is not None and self.authorization is not None:
            raise ValueError("expected at most one of basic_auth and authorization")
        return self


@dataclass(frozen=True, slots=True)
class Endpoint:
    """The URL of a server, and the configuration file of its client, or None for the defaults."""

    url: str
    config_file: Path | None = None

    def client(self) -> HttpClient:
        """Return a client with the current settings. Raises ConfigError."""
        return HttpClient() if self.config_file is None else load_http_client(self.config_file)


def load_http_client(path: Path) -> HttpClient:
    """Return a client with the settings of a file; paths in it are relative to its folder.

    Passwords and credentials are read again for each request. Raises ConfigError, which names file and key, and
    contains no secret.
    """
    config = load_strict(path, HttpClientConfig, secret="authorization")
    authorization = _authorization(config, path)
    if authorization is not None:
        authorization()
    return HttpClient(authorization, None if config.tls_config is None else _tls(config.tls_config, path))


def _authorization(config: HttpClientConfig, path: Path) -> Callable[[], str] | None:
    if (basic := config.basic_auth) is not None:
        file = path.parent / basic.password_file
        return lambda: basic_authorization(basic.username, _secret(file, f"{path}: basic_auth.password_file"))
    if (other := config.authorization) is not None:
        file = path.parent / other.credentials_file
        return lambda: f"{other.type} {_token(file, f'{path}: authorization.credentials_file')}"
    return None


def _token(file: Path, key: str) -> str:
    text = _secret(file, key)
    if not re.fullmatch(r"[ -~]+", text):
        # A line feed would add a header.
        raise ConfigError(f"{key}: {file}: expected one line of ASCII text")
    return text


def _secret(file: Path, key: str) -> str:
    try:
        return read_content(file, max_bytes=MAX_SECRET_BYTES).data.decode().strip()
    except OSError as error:
        raise ConfigError(f"{key}: {file}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{key}: {file}: not UTF-8 text") from error


class _Context(ssl.SSLContext):
    server_name: str | None = None

    def wrap_socket(self, *arguments: object, **settings: object) -> ssl.SSLSocket:
        if self.server_name is not None:
            settings["server_hostname"] = self.server_name
        return super().wrap_socket(*arguments, **settings)  # type: ignore[arg-type]


def _tls(config: TlsConfig, path: Path) -> ssl.SSLContext:
    context = _Context(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.server_name = config.server_name
    section = f"{path}: tls_config"
    if config.ca_file is None:
        context.load_default_certs()
    else:
        load_authorities(context, path.parent / config.ca_file, f"{section}.ca_file")
    if config.cert_file is not None and config.key_file is not None:
        load_identity(context, path.parent / config.cert_file, path.parent / config.key_file, section)
    return context
