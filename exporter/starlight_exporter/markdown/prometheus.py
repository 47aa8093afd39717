"""Prometheus over its HTTP API: instant and range queries, and the labels it puts on what it sends out."""

from __future__ import annotations

import http.client
import json
import math
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

import yaml

from starlight_exporter.errors import MonitoringError
from starlight_exporter.markdown.samples import Sample

TIMEOUT_SECONDS = 10.0


@dataclass(frozen=True, slots=True)
class Series:
    """One series over time: points of (UTC seconds, value), ascending, with nothing where nothing was stored."""

    labels: Mapping[str, str]
    points: tuple[tuple[float, float], ...]


class Prometheus:
    """One server's API; every method raises MonitoringError, which names the address, where it gives no answer."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")

    def instant(self, expression: str, *, at: float) -> list[tuple[str, Sample]]:
        """Metric name (empty where the expression has none) and sample of each series; values that are no number go."""
        found = []
        with self._reads("a query result"):
            for row in self._result("query", {"query": expression, "time": f"{at:.3f}"}):
                labels = dict(row["metric"])
                value = float(row["value"][1])
                if math.isfinite(value):
                    found.append((labels.pop("__name__", ""), Sample(labels, value)))
        return found

    def range(self, expression: str, *, start: float, end: float, step: float) -> list[Series]:
        """One Series per label set, at `start`, `start + step`, … up to `end`."""
        times = {"start": f"{start:.3f}", "end": f"{end:.3f}", "step": f"{step:.3f}"}
        with self._reads("a query result"):
            return [
                Series(
                    dict(row["metric"]),
                    tuple((float(t), float(v)) for t, v in row["values"] if math.isfinite(float(v))),
                )
                for row in self._result("query_range", {"query": expression, **times})
            ]

    def external_labels(self) -> dict[str, str]:
        """The `external_labels` of its configuration: here the base addresses of evidence and runbooks."""
        with self._reads("its configuration"):
            data = get_json(f"{self.url}/api/v1/status/config", "Prometheus")["data"]
            settings = yaml.safe_load(data["yaml"]).get("global") or {}
            return {str(name): str(value) for name, value in (settings.get("external_labels") or {}).items()}

    def _result(self, endpoint: str, parameters: dict[str, str]) -> list[dict[str, Any]]:
        url = f"{self.url}/api/v1/{endpoint}?{urllib.parse.urlencode(parameters)}"
        result: list[dict[str, Any]] = get_json(url, "Prometheus")["data"]["result"]
        return result

    def _reads(self, expected: str) -> AbstractContextManager[None]:
        return reading(self.url, "Prometheus", expected)


@contextmanager
def reading(url: str, server: str, expected: str) -> Iterator[None]:
    """Around what takes an answer apart: MonitoringError where it has another shape than the expected one."""
    try:
        yield
    except (LookupError, TypeError, ValueError, AttributeError, yaml.YAMLError) as error:
        raise MonitoringError(f"{url}: {server} answers with something else than {expected}") from error


def get_json(url: str, server: str) -> Any:
    """What a GET of `url` gives, parsed; MonitoringError in one line with the server's own reason, if it gives one."""
    shown = url.partition("?")[0]
    try:
        with urllib.request.urlopen(url, timeout=TIMEOUT_SECONDS) as response:
            return json.load(response)
    except urllib.error.HTTPError as error:
        raise MonitoringError(f"{shown}: {server} refuses with {error.code}: {_reason(error)}") from error
    except (OSError, ValueError, http.client.HTTPException) as error:
        # A server that dies while it answers raises an HTTPException, which is no OSError.
        reason = _short(getattr(error, "reason", error))
        raise MonitoringError(f"{shown}: {server} gives no answer: {reason}") from error


def _reason(error: urllib.error.HTTPError) -> str:
    try:
        text = str(json.load(error)["error"])
    except (OSError, ValueError, KeyError, TypeError, http.client.HTTPException):
        text = error.reason
    return _short(text)


def _short(text: object) -> str:
    return " ".join(str(text).split())[:200]
