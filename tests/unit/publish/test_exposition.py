"""Both formats, compared with the output and the parsers of prometheus_client."""

from __future__ import annotations

import math
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Exemplar

from starlight_exporter.publish.exposition import CONTENT_TYPES, negotiate, render


class Families:
    """A collector of given families."""

    def __init__(self, families: list[Metric]) -> None:
        self._families = families

    def describe(self) -> list[Metric]:
        return self._families

    def collect(self) -> Iterator[Metric]:
        yield from self._families


def registry_of(*families: Metric) -> CollectorRegistry:
    registry = CollectorRegistry()
    registry.register(Families(list(families)))
    return registry


def family(name: str, kind: str, *samples: tuple[str, dict[str, str], float], text: str = "Some help.") -> Metric:
    metric = Metric(name, text, kind)
    for sample, labels, value in samples:
        metric.add_sample(sample, labels, value)
    return metric


def every_kind(labels: dict[str, str], value: float, text: str) -> CollectorRegistry:
    return registry_of(
        family("a_gauge", "gauge", ("a_gauge", labels, value), ("a_gauge", {}, 1), text=text),
        family("a_counter", "counter", ("a_counter_total", labels, 3)),
        family("an", "info", ("an_info", labels, 1)),
        family(
            "a_histogram",
            "histogram",
            ("a_histogram_bucket", {**labels, "le": "0.5"}, 1),
            ("a_histogram_bucket", {**labels, "le": "+Inf"}, 2),
            ("a_histogram_count", labels, 2),
            ("a_histogram_sum", labels, 1e22),
        ),
        family("a_summary", "summary", ("a_summary", {**labels, "quantile": "0.5"}, value)),
        family("unknown_one", "unknown", ("unknown_one", labels, value)),
    )


def openmetrics_of_the_library(registry: CollectorRegistry) -> bytes:
    rendered: bytes = generate_openmetrics(registry)  # type: ignore[no-untyped-call]
    return rendered


VALUES = st.floats(allow_nan=False) | st.integers(-(10**9), 10**15).map(float)
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


@given(labels=st.dictionaries(st.sampled_from(["b", "a", "c_1"]), TEXTS, max_size=3), value=VALUES, text=TEXTS)
def test_bytes_equal_prometheus_client(labels: dict[str, str], value: float, text: str) -> None:
    registry = every_kind(labels, value, text)
    assert render(registry, None, [])[0] == generate_latest(registry)
    assert render(registry, "application/openmetrics-text", [])[0] == openmetrics_of_the_library(registry)


@given(
    labels=st.dictionaries(st.sampled_from(["b", "a"]), TEXTS, min_size=1, max_size=2),
    at=st.sampled_from([1e9, 1.7e9 + 0.125]),
)
def test_exemplars_equal_prometheus_client(labels: dict[str, str], at: float) -> None:
    buckets = family("a_histogram", "histogram")
    buckets.add_sample("a_histogram_bucket", {"le": "0.5"}, 1, exemplar=Exemplar(labels, 0.0125, at))
    buckets.add_sample("a_histogram_bucket", {"le": "+Inf"}, 1)
    registry = registry_of(buckets)
    assert b" # {" in render(registry, "application/openmetrics-text", [])[0]
    assert render(registry, "application/openmetrics-text", [])[0] == openmetrics_of_the_library(registry)
    assert b" # {" not in render(registry, None, [])[0]


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 0.0, -0.0, 1e6, 1234567.5, 1e-9])
def test_special_values_equal_prometheus_client(value: float) -> None:
    registry = every_kind({"a": "1"}, value, "Help.")
    assert render(registry, None, [])[0] == generate_latest(registry)
    assert render(registry, "application/openmetrics-text", [])[0] == openmetrics_of_the_library(registry)


@pytest.mark.parametrize(
    ("accept", "expected"),
    [
        (None, "text"),
        ("", "text"),
        ("*/*", "text"),
        ("text/html,application/xhtml+xml,*/*;q=0.8", "text"),
        ("application/openmetrics-text", "openmetrics"),
        ("application/openmetrics-text;version=1.0.0", "openmetrics"),
        ('application/openmetrics-text; version="1.0.0"; charset=utf-8', "openmetrics"),
        ("application/openmetrics-text;version=abc", "text"),
        ("application/openmetrics-text;version=", "openmetrics"),
        ("application/openmetrics-text;version=0.0.1", "text"),
        ("application/openmetrics-text;version=2.0.0,text/plain", "text"),
        ("application/openmetrics-text;q=0.1,text/plain;q=0.9", "text"),
        ("application/openmetrics-text;q=nan,text/plain;q=0.2", "text"),
        ("application/openmetrics-text;q=much", "text"),
        ("application/openmetrics-text;q=0", "text"),
        (
            "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
            "text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
            "openmetrics",
        ),
        (
            "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,"
            "application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.3,"
            "text/plain;version=0.0.4;q=0.2,*/*;q=0.1",
            "openmetrics",
        ),
        (";;;,,,=;q==", "text"),
    ],
)
def test_negotiation_of_accept_headers(accept: str | None, expected: str) -> None:
    assert negotiate(accept) == expected


@given(accept=st.text(max_size=60) | st.text("application/openmetrics-text;q=version,*.01", max_size=60))
def test_arbitrary_accept_headers_do_not_raise(accept: str) -> None:
    body, content_type = render(registry_of(family("a", "gauge", ("a", {}, 1))), accept, [])
    assert b"a 1.0\n" in body
    assert content_type in CONTENT_TYPES.values()


def names(body: bytes) -> set[str]:
    return {sample.name for found in text_string_to_metric_families(body.decode()) for sample in found.samples}


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (["a_gauge"], {"a_gauge"}),
        (["a_counter_total"], {"a_counter_total"}),
        (["a_histogram"], {"a_histogram_bucket", "a_histogram_count", "a_histogram_sum"}),
        (["a_histogram_count", "a_gauge"], {"a_histogram_count", "a_gauge"}),
        (["an_info"], {"an_info"}),
        (["no_such_name"], set()),
        (["", "\x00{}"], set()),
    ],
)
def test_names_restrict_the_body(asked: list[str], expected: set[str]) -> None:
    body, _ = render(every_kind({"a": "1"}, 1.0, "Help."), None, asked)
    assert names(body) == expected
