"""The URL of the site as its users see it, and the paths at which this process serves it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final
from urllib.parse import SplitResult, urlsplit

from starlight_exporter.errors import ConfigError
from starlight_exporter.web.allowed_hosts import own_host_names, parse_host

DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_PATH: Final = re.compile(r"(/[0-9A-Za-z._~-]+)*")


@dataclass(frozen=True, slots=True)
class Site:
    """`prefix` is the path of the site in links, `route_prefix` the one in requests; both empty for the root.

    They differ behind a proxy that removes the prefix. `origin` is that of `external_url`, if one is given.
    """

    prefix: str
    route_prefix: str
    origin: str | None
    external_url: str
    allowed_hosts: frozenset[str]


def make_site(external_url: str | None, route_prefix: str | None, allowed_hosts: frozenset[str]) -> Site:
    """Return the site of the flags `--web.external-url` and `--web.route-prefix`, with the defaults of Prometheus.

    Always allowed hosts are those of this machine and of the external URL. ConfigError if a value is invalid.
    """
    hosts = own_host_names() | allowed_hosts
    if external_url is None:
        path = _normalized("--web.route-prefix", route_prefix or "/")
        return Site(path, path, None, "", hosts)
    parts, host = _parsed("--web.external-url", external_url)
    prefix = _normalized("--web.external-url", parts.path)
    route = prefix if route_prefix is None else _normalized("--web.route-prefix", route_prefix)
    origin = make_origin(parts.scheme, parts.netloc)
    return Site(prefix, route, origin, f"{parts.scheme}://{parts.netloc}{prefix}/", hosts | {host})


def make_service_url(flag: str, url: str | None) -> str:
    """Return the URL of a flag such as `--web.grafana-url` with a trailing slash; empty without it.

    Raises ConfigError if it is invalid.
    """
    if url is None:
        return ""
    parts, _ = _parsed(flag, url)
    return f"{parts.scheme}://{parts.netloc}{_normalized(flag, parts.path)}/"


def make_origin(scheme: str, authority: str) -> str | None:
    """Return scheme, host and port in the form of an Origin header; None if the authority is invalid."""
    parsed = parse_host(authority)
    if parsed is None:
        return None
    host = f"[{parsed.host}]" if ":" in parsed.host else parsed.host
    default = parsed.port in (None, DEFAULT_PORTS.get(scheme))
    return f"{scheme}://{host}" if default else f"{scheme}://{host}:{parsed.port}"


def _parsed(flag: str, url: str) -> tuple[SplitResult, str]:
    """Return the parts of an HTTP URL without query and fragment, and its host."""
    try:
        parts = urlsplit(url)
    except ValueError as error:
        raise ConfigError(f"{flag}: {error}") from error
    host = parse_host(parts.netloc)
    if parts.scheme not in DEFAULT_PORTS or host is None or parts.query or parts.fragment:
        # The value may contain a password.
        raise ConfigError(f"{flag}: expected http:// or https:// with a host and an optional path")
    return parts, host.host


def _normalized(flag: str, path: str) -> str:
    """Return a path with a leading and without a trailing slash; empty for the root."""
    trimmed = path.strip("/")
    normalized = f"/{trimmed}" if trimmed else ""
    if not _PATH.fullmatch(normalized) or any(part in (".", "..") for part in trimmed.split("/")):
        raise ConfigError(f"{flag}: path {path!r}: expected letters, digits and - . _ ~ between slashes")
    return normalized
