"""One image of an evaluation: its page, its thumbnail, and the images of its streams."""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable
from typing import Final

import anyio
import anyio.to_thread
from cachetools import LRUCache
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

from starlight_exporter.dataset.rendered_streams import STREAM_IMAGES, RenderedStreams
from starlight_exporter.dataset.thumbnail_names import thumbnail_name
from starlight_exporter.errors import ImageError
from starlight_exporter.publish.prediction_store import StoredPrediction
from starlight_exporter.publish.retention import Entry
from starlight_exporter.runs import worker
from starlight_exporter.runs.application import Application
from starlight_exporter.web.image_worker import THREADS, ImageWorker
from starlight_exporter.web.lookup import requested_image
from starlight_exporter.web.pages.image import image_page
from starlight_exporter.web.responses import page_routes, respond

_CACHED_IMAGES: Final = 16


class ImageRoutes:
    """Handlers of /evaluations/{id}/images/{number}…; images are opened in a worker process."""

    def __init__(self, application: Application) -> None:
        self._application = application
        self._worker = ImageWorker(memory_bytes=lambda: application.config.limits.worker_memory)
        # Threads that wait for the worker process must not be those of pages and scrapes.
        self._limiter = anyio.CapacityLimiter(THREADS)
        self._rendered: LRUCache[tuple[str, int], RenderedStreams] = LRUCache(_CACHED_IMAGES)
        self._lock = threading.Lock()

    def routes(self) -> list[Route]:
        """Return the routes; the more specific ones first."""
        path = "/evaluations/{id}/images/{number}"
        return [
            Route(f"{path}/thumbnail.png", self._limited(self.thumbnail)),
            Route(f"{path}/{{stream}}.png", self._limited(self.stream)),
            *page_routes(path, self._limited(self.image)),
        ]

    def image(self, request: Request) -> Response:
        """Return the page of one image: labels, verdicts of all models, and its streams if the file can be opened."""
        evidence = self._application.evidence
        entry, row = requested_image(evidence, request)
        try:
            rendered: RenderedStreams | str = self._render(entry, row)
        except ImageError as error:
            rendered = str(error)
        models = self._application.state.snapshot.models.values()
        return respond(request, image_page(evidence, entry, row, models, rendered))

    def thumbnail(self, request: Request) -> Response:
        """Return the stored thumbnail, or create one from the file."""
        evidence = self._application.evidence
        entry, row = requested_image(evidence, request)
        stored = evidence.thumbnail(entry, thumbnail_name(row.prediction.path))
        if stored is not None:
            return FileResponse(stored, media_type="image/png")
        return Response(self._worker.call(worker.thumbnail, *self._file(entry, row)), media_type="image/png")

    def stream(self, request: Request) -> Response:
        """Return one stream of the image as PNG."""
        entry, row = requested_image(self._application.evidence, request)
        name = request.path_params["stream"]
        if name not in STREAM_IMAGES:
            raise HTTPException(404, f"no such stream image; expected one of {', '.join(STREAM_IMAGES)}")
        png = self._render(entry, row).images.get(name)
        if png is None:
            raise HTTPException(404, "the image does not have this stream")
        return Response(png, media_type="image/png")

    def _render(self, entry: Entry, row: StoredPrediction) -> RenderedStreams:
        """Return the rendered streams; cached, because the page is followed by a request for each of its images."""
        key = (entry.id, row.number)
        with self._lock:
            rendered = self._rendered.get(key)
        if rendered is None:
            rendered = self._worker.call(worker.render_streams, *self._file(entry, row))
            with self._lock:
                self._rendered[key] = rendered
        return rendered

    def _file(self, entry: Entry, row: StoredPrediction) -> tuple[object, ...]:
        """Return the arguments with which the worker opens the file, if it still has the evaluated content."""
        dataset = self._application.config.dataset(entry.dataset)
        if dataset is None:
            raise ImageError(f"dataset {entry.dataset} is no longer configured", reason="unreadable")
        limits = self._application.config.limits
        prediction = row.prediction
        return dataset.path, prediction.path, prediction.sha256, limits.max_file_bytes, limits.max_image_pixels

    def _limited(self, handler: Callable[[Request], Response]) -> Callable[[Request], Awaitable[Response]]:
        async def run(request: Request) -> Response:
            return await anyio.to_thread.run_sync(handler, request, limiter=self._limiter)

        return run
