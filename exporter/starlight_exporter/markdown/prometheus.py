"""Client of the Prometheus HTTP API: instant queries, range queries, and samples as they are stored."""

from __future__ import annotations

import math
import urllib.parse
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

from starlight_exporter.errors import MonitoringError
from starlight_exporter.http_client import HttpClient, shown_url
from starlight_exporter.markdown.samples import Sample


@dataclass(frozen=True, slots=True)
class Series:
    """One time series: points of (UTC seconds, value), ascending; without points where no sample is stored."""

    labels: Mapping[str, str]
    points: tuple[tuple[float, float], ...]


class Prometheus:
    """One Prometheus server. Every method raises MonitoringError if it is unavailable or its response is invalid."""

    def __init__(self, url: str, client: HttpClient) -> None:
        self.url = url.rstrip("/")
        self._client = client

    def instant(self, expression: str, *, at: float) -> list[tuple[str, Sample]]:
        """Return the metric name (may be empty) and sample of each series, without NaN and infinite values."""
        found = []
        with self._parsing("a query result"):
            for row in self._result("query", {"query": expression, "time": f"{at:.3f}"}):
                labels = dict(row["metric"])
                value = float(row["value"][1])
                if math.isfinite(value):
                    found.append((labels.pop("__name__", ""), Sample(labels, value)))
        return found

    def range(self, expression: str, *, start: float, end: float, step: float) -> list[Series]:
        """Return one Series per label set, from `start` to `end`, without NaN and infinite values."""
        times = {"start": f"{start:.3f}", "end": f"{end:.3f}", "step": f"{step:.3f}"}
        with self._parsing("a query result"):
            return [
                Series(
                    dict(row["metric"]),
                    tuple((float(t), float(v)) for t, v in row["values"] if math.isfinite(float(v))),
                )
                for row in self._result("query_range", {"query": expression, **times})
            ]

    def raw(self, selector: str, *, at: float, seconds: float) -> list[Series]:
        """Return every stored sample within `seconds` before `at`; the labels include `__name__`."""
        expression = f"{selector}[{round(1000 * seconds)}ms]"
        with self._parsing("a query result"):
            return [
                Series(dict(row["metric"]), tuple((float(t), float(v)) for t, v in row["values"]))
                # VictoriaMetrics hides the newest samples from cached queries; Prometheus ignores the parameter.
                for row in self._result("query", {"query": expression, "time": f"{at:.3f}", "nocache": "1"})
            ]

    def _result(self, endpoint: str, parameters: dict[str, str]) -> list[dict[str, Any]]:
        url = f"{self.url}/api/v1/{endpoint}?{urllib.parse.urlencode(parameters)}"
        result: list[dict[str, Any]] = self._client.get_json(url, "Prometheus")["data"]["result"]
        return result

    def _parsing(self, expected: str) -> AbstractContextManager[None]:
        return parsing(shown_url(self.url), "Prometheus", expected)


@contextmanager
def parsing(url: str, server: str, expected: str) -> Iterator[None]:
    """Raise MonitoringError if the code in this context cannot parse the response."""
    try:
        yield
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        raise MonitoringError(f"{url}: the response of {server} is not {expected}") from error
