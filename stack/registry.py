"""Digests of container images, from the HTTP API of a registry (OCI distribution specification)."""

from __future__ import annotations

import hashlib
import http.client
import json
import re
import urllib.error
import urllib.parse
from dataclasses import dataclass
from typing import Final, Self

from stack.errors import StackError
from starlight_exporter.http_client import HttpClient, shown_url

MANIFESTS: Final = ", ".join(
    (
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.docker.distribution.manifest.list.v2+json",
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.v2+json",
    )
)
DOCKER_HUB: Final = "https://registry-1.docker.io"


@dataclass(frozen=True, slots=True)
class ImageName:
    """Registry URL, repository and tag of an image."""

    registry: str
    repository: str
    tag: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """Parse `[HOST[:PORT]/]REPOSITORY:TAG`, without a host from Docker Hub. Raises StackError."""
        match = re.fullmatch(r"(?:([\w.-]+(?::\d+)?)/)?([a-z0-9._/-]+):([\w.-]+)", text)
        if match is None:
            raise StackError(f"{text}: expected REPOSITORY:TAG")
        host, repository, tag = match.groups()
        if host is not None and not (set(host) & {".", ":"} or host == "localhost"):
            host, repository = None, f"{host}/{repository}"
        if host is None:
            return cls(DOCKER_HUB, repository if "/" in repository else f"library/{repository}", tag)
        return cls(f"https://{host}", repository, tag)


def image_digest(image: ImageName, *, registry: str | None = None) -> str:
    """Return the digest of an image, `sha256:` and 64 hexadecimal digits, from its registry or a mirror.

    It is the hash of the manifest, or of the list of manifests for several platforms. Raises StackError.
    """
    url = f"{(registry or image.registry).rstrip('/')}/v2/{image.repository}/manifests/{image.tag}"
    try:
        content = _manifest(url)
    except urllib.error.HTTPError as error:
        raise StackError(f"{shown_url(url)}: the registry responded with {error.code}") from error
    except (OSError, ValueError, LookupError, TypeError, http.client.HTTPException) as error:
        raise StackError(f"{shown_url(url)}: the registry is unavailable: {getattr(error, 'reason', error)}") from error
    return f"sha256:{hashlib.sha256(content).hexdigest()}"


def _manifest(url: str) -> bytes:
    try:
        content = HttpClient().get(url, accept=MANIFESTS)
    except urllib.error.HTTPError as error:
        # Public images need a token too, which needs no account.
        challenge = error.headers.get("WWW-Authenticate", "")
        if error.code != 401 or not challenge.startswith("Bearer "):
            raise
        token = _token(dict(re.findall(r'(\w+)="([^"]*)"', challenge)))
        content = HttpClient(lambda: f"Bearer {token}").get(url, accept=MANIFESTS)
    if json.loads(content)["schemaVersion"] != 2:
        raise ValueError("the response is not a manifest of version 2")
    return content


def _token(challenge: dict[str, str]) -> str:
    query = urllib.parse.urlencode({key: value for key, value in challenge.items() if key in ("service", "scope")})
    answer = json.loads(HttpClient().get(f"{challenge['realm']}?{query}"))
    return str(answer.get("token") or answer["access_token"])
