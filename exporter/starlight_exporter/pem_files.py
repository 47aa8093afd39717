"""Certificates and keys for TLS, read as untrusted files: OpenSSL itself would wait for the writer of a named pipe."""

from __future__ import annotations

import os
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from starlight_exporter.errors import ConfigError
from starlight_exporter.file_access import read_content

_MAX_BYTES: Final = 1024 * 1024


def load_identity(context: ssl.SSLContext, cert: Path, key: Path, section: str) -> None:
    """Load a certificate chain and its key. ConfigError begins with `section`, that of the configuration file."""
    certificate, secret = _read(cert, f"{section}.cert_file"), _read(key, f"{section}.key_file")
    try:
        with _anonymous_file(certificate) as cert_file, _anonymous_file(secret) as key_file:
            # Without a password argument, OpenSSL would prompt for the password of an encrypted key.
            context.load_cert_chain(cert_file, key_file, password="")
    except OSError as error:
        raise ConfigError(f"{section}: {cert} and {key} are not a certificate and its key") from error


def load_authorities(context: ssl.SSLContext, file: Path, key: str) -> None:
    """Load the certificates of trusted authorities. ConfigError begins with `key`, that of the configuration file."""
    certificates = _read(file, key)
    try:
        # As a file, because a text must be ASCII, and bundles have comments in any language.
        with _anonymous_file(certificates) as anonymous:
            context.load_verify_locations(anonymous)
    except ssl.SSLError as error:
        raise ConfigError(f"{key}: no certificates in {file}") from error


def _read(file: Path, key: str) -> bytes:
    try:
        return read_content(file, max_bytes=_MAX_BYTES).data
    except OSError as error:
        raise ConfigError(f"{key}: {file}: {error.strerror or error}") from error


@contextmanager
def _anonymous_file(data: bytes) -> Iterator[str]:
    """Yield the path of a file in memory."""
    descriptor = os.memfd_create("pem")
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        yield f"/proc/self/fd/{descriptor}"
