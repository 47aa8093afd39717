"""Concurrent scrapes share a rendering, and none of them receives values from before its arrival."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from starlight_exporter.web.shared_rendering import SharedRendering

SCRAPES = 50


class Counter(Collector):
    """A gauge whose value is the number of renderings that have started; each waits until it may end."""

    def __init__(self, *, fails: bool = False) -> None:
        self.started = 0
        self.may_end = threading.Event()
        self._fails = fails

    def describe(self) -> list[Metric]:
        return [GaugeMetricFamily("renderings", "Started.")]

    def collect(self) -> Iterator[Metric]:
        self.started += 1
        value = self.started
        assert self.may_end.wait(60)
        if self._fails:
            raise RuntimeError("collector failed")
        yield GaugeMetricFamily("renderings", "Started.", value=value)


def rendering_of(collector: Collector) -> SharedRendering:
    registry = CollectorRegistry()
    registry.register(collector)
    return SharedRendering(registry)


async def until_started(counter: Counter, number: int) -> None:
    async with asyncio.timeout(60):
        while counter.started < number:
            await asyncio.sleep(0.01)


def value(exposition: tuple[bytes, str]) -> float:
    return float(exposition[0].decode().splitlines()[-1].split()[-1])


def test_scrapes_that_arrive_during_a_rendering_share_the_next_one() -> None:
    async def scrape() -> tuple[int, list[float]]:
        counter = Counter()
        rendering = rendering_of(counter)
        first = asyncio.create_task(rendering.exposition(None, []))
        await until_started(counter, 1)
        others = [asyncio.create_task(rendering.exposition(None, [])) for _ in range(SCRAPES)]
        await asyncio.sleep(0)
        counter.may_end.set()
        return counter.started, [value(one) for one in await asyncio.gather(first, *others)]

    started, values = asyncio.run(scrape())
    assert started == 1
    assert values == [1.0, *[2.0] * SCRAPES]


def test_formats_and_names_are_rendered_separately() -> None:
    async def scrape() -> list[tuple[bytes, str]]:
        counter = Counter()
        counter.may_end.set()
        rendering = rendering_of(counter)
        accepts = (None, "application/openmetrics-text", None)
        names: tuple[list[str], ...] = ([], [], ["other"])
        return list(await asyncio.gather(*(rendering.exposition(*one) for one in zip(accepts, names, strict=True))))

    text, openmetrics, restricted = asyncio.run(scrape())
    assert text[1].startswith("text/plain")
    assert openmetrics[0].endswith(b"# EOF\n")
    assert restricted[0] == b""


def test_cancelled_scrape_does_not_cancel_the_others() -> None:
    async def scrape() -> tuple[bytes, str]:
        counter = Counter()
        rendering = rendering_of(counter)
        cancelled, other = (asyncio.create_task(rendering.exposition(None, [])) for _ in range(2))
        await until_started(counter, 1)
        cancelled.cancel()
        counter.may_end.set()
        return await other

    assert value(asyncio.run(scrape())) == 1.0


def test_failed_rendering_is_not_repeated_for_later_scrapes() -> None:
    async def scrape() -> float:
        counter = Counter(fails=True)
        counter.may_end.set()
        rendering = rendering_of(counter)
        with pytest.raises(RuntimeError, match="collector failed"):
            await rendering.exposition(None, [])
        counter._fails = False
        return value(await rendering.exposition(None, []))

    assert asyncio.run(scrape()) == 2.0
