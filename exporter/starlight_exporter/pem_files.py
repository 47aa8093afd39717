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


def read_pem(file: Path, key: str) -> bytes:
    """Return the content of a file. ConfigError begins with `key`, which names the configuration file and its key."""
    try:
        return read_content(file, max_bytes=_MAX_BYTES).data
    except OSError as error:
        raise ConfigError(f"{key}: {file}: {error.strerror or error}") from error


def load_identity(context: ssl.SSLContext, cert: bytes, key: bytes) -> None:
    """Load a certificate chain and its key. Raises ssl.SSLError."""
    with _anonymous_file(cert) as cert_file, _anonymous_file(key) as key_file:
        # Without a password argument, OpenSSL would prompt for the password of an encrypted key.
        context.load_cert_chain(cert_file, key_file, password="")


def load_authorities(context: ssl.SSLContext, certificates: bytes) -> None:
    """Load the certificates of trusted authorities. Raises ssl.SSLError."""
    # As a file, because a text must be ASCII, and bundles have comments in any language.
    with _anonymous_file(certificates) as file:
        context.load_verify_locations(file)


@contextmanager
def _anonymous_file(data: bytes) -> Iterator[str]:
    """Yield the path of a file in memory."""
    descriptor = os.memfd_create("pem")
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        yield f"/proc/self/fd/{descriptor}"
