"""Where a dataset is: a local folder, or the URL of a prefix in an object store or on a web server.

Importable without a third-party package.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

PROTOCOLS: Final = ("s3", "gs", "https", "http", "memory")
"""`memory` is a store in this process, for tests."""
_URL: Final = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")


@dataclass(frozen=True, slots=True)
class RemoteRoot:
    """A dataset in an object store: `url` has no credentials, no query and no slash at its end."""

    url: str

    @property
    def protocol(self) -> str:
        """The part of the URL before `://`."""
        return self.url.partition("://")[0]

    @property
    def name(self) -> str:
        """The last part of the URL."""
        return self.url.rpartition("/")[2]

    def __str__(self) -> str:
        """Return the URL."""
        return self.url


DatasetRoot = Path | RemoteRoot


def parse_root(text: str) -> DatasetRoot:
    """Return the root that a text names: a URL if it has a protocol, otherwise a path.

    Raise ValueError, without the text, for a URL that cannot be used; it may contain a password.
    """
    match = _URL.match(text)
    if match is None:
        if not text or "\0" in text:
            raise ValueError("expected a path or a URL")
        return Path(text)
    protocol = match[1].lower()
    if protocol not in PROTOCOLS:
        raise ValueError(f"unknown protocol {protocol[:20]!r}; expected {', '.join(PROTOCOLS[:-1])}, or a path")
    rest = text[match.end() :].rstrip("/")
    if "@" in urlsplit(f"//{rest}").netloc:
        raise ValueError("a URL must not contain credentials; use those of the environment")
    if "?" in rest or "#" in rest:
        raise ValueError("a URL of a dataset has no query and no fragment")
    if not rest.isprintable() or any(part in ("", ".", "..") for part in rest.split("/")):
        raise ValueError("a URL must have a bucket or host, and no empty parts, . and ..")
    return RemoteRoot(f"{protocol}://{rest}")


def root_name(root: DatasetRoot) -> str:
    """Return the name of a dataset: the last part of its root."""
    return root.resolve().name if isinstance(root, Path) else root.name


def resolved_root(root: DatasetRoot) -> DatasetRoot:
    """Return the root without links, by which two roots can be compared."""
    return root.resolve() if isinstance(root, Path) else root
