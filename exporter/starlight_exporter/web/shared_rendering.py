"""Render metrics once for all scrapes that wait for the same text."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

import anyio
import anyio.to_thread
from prometheus_client import CollectorRegistry

from starlight_exporter.publish.exposition import Format, negotiate, render

CONCURRENT_RENDERINGS: Final = 4

_Key = tuple[Format, frozenset[str]]
_Exposition = tuple[bytes, str]


class SharedRendering:
    """Renders a registry in threads of its own, so that slow pages cannot occupy them.

    At most one rendering of the same format and names runs at a time. Scrapes that arrive meanwhile share the next one:
    it starts after they have arrived, so none of them is out of date.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry
        self._limiter = anyio.CapacityLimiter(CONCURRENT_RENDERINGS)
        self._running: dict[_Key, asyncio.Task[_Exposition]] = {}
        self._waiting: dict[_Key, asyncio.Task[_Exposition]] = {}

    async def exposition(self, accept: str | None, names: Sequence[str]) -> tuple[bytes, str]:
        """Return body and content type, as `render` does."""
        key = (negotiate(accept), frozenset(names))
        if key not in self._waiting:
            rendering = self._render_after(self._running.get(key), key, accept, names)
            self._waiting[key] = asyncio.create_task(rendering)
        # A client that disconnects must not cancel the rendering for the others.
        return await asyncio.shield(self._waiting[key])

    async def _render_after(
        self, previous: asyncio.Task[_Exposition] | None, key: _Key, accept: str | None, names: Sequence[str]
    ) -> _Exposition:
        if previous is not None:
            await asyncio.wait([previous])
        self._running[key] = self._waiting.pop(key)
        try:
            return await anyio.to_thread.run_sync(render, self._registry, accept, names, limiter=self._limiter)
        finally:
            del self._running[key]
