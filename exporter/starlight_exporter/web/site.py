"""The pages for people as routes: each as HTML, as JSON and its tables as CSV, and the pictures beside them."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Final, TypeVar
from urllib.parse import urlencode

import anyio
import anyio.to_thread
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from starlight_exporter.dataset.rendered import PICTURES, Drawing
from starlight_exporter.dataset.thumbnail_names import thumbnail_name
from starlight_exporter.errors import ComparisonError, ImageError
from starlight_exporter.evaluation.spec import differences
from starlight_exporter.publish.charts import STYLE_SHEET
from starlight_exporter.publish.prediction_store import Row
from starlight_exporter.publish.predictions_csv import predictions_csv
from starlight_exporter.publish.retention import Entry
from starlight_exporter.runs import worker
from starlight_exporter.runs.application import Application
from starlight_exporter.web.inspector import THREADS, Inspector
from starlight_exporter.web.pages import links
from starlight_exporter.web.pages.comparison import comparison_page
from starlight_exporter.web.pages.evaluation import evaluation_page, parse_prevalence
from starlight_exporter.web.pages.evaluations import evaluations_page
from starlight_exporter.web.pages.image import image_page
from starlight_exporter.web.pages.images import ImagesQuery, all_images_table, images_page
from starlight_exporter.web.pages.page import TEMPLATES, Page, Table, csv_text, html, json_text
from starlight_exporter.web.pages.status import status_page
from starlight_exporter.web.pages.training import training_page

_RUNBOOK = re.compile(r"[A-Za-z0-9]{1,100}\.md")
_NUMBER = re.compile(r"[0-9]{1,9}")
_STATIC: Final[Mapping[str, tuple[Path, str]]] = {
    "style.css": (TEMPLATES / "style.css", "text/css"),
    "chart.css": (STYLE_SHEET, "text/css"),
    "icon.svg": (TEMPLATES / "icon.svg", "image/svg+xml"),
}
DRAWINGS_KEPT: Final = 16

Build = Callable[[Request], Page]
_Built = TypeVar("_Built")


class EvidenceSite:
    """The handlers. An address names evaluations by id and images by number; paths come from the store alone."""

    def __init__(self, application: Application) -> None:
        self._app = application
        self._inspector = Inspector()
        # Of their own: pictures that wait for the one process must not take the threads that pages and scrapes need.
        self._pictures = anyio.CapacityLimiter(THREADS)
        self._drawings: OrderedDict[tuple[str, int], Drawing] = OrderedDict()

    def routes(self) -> list[Route]:
        """Every route of the pages."""
        return [
            *self._page("/", self._status, data="/status"),
            *self._page("/evaluations", self._evaluations),
            *self._page("/training", self._training),
            Route("/evaluations/latest", self._latest),
            Route("/evaluations/latest.{suffix}", self._latest),
            Route("/evaluations/latest/{rest}", self._latest),
            Route("/evaluations/{id}/predictions.csv", self._predictions),
            Route("/evaluations/{id}/misclassified.csv", self._misclassified_csv),
            Route("/evaluations/{id}/images.csv", self._images_csv),
            *self._page("/evaluations/{id}/misclassified", self._misclassified),
            *self._page("/evaluations/{id}/images", self._images),
            *self._page("/evaluations/{id}/comparison", self._comparison),
            Route("/evaluations/{id}/images/{number}/thumbnail.png", self._thumbnail),
            Route("/evaluations/{id}/images/{number}/{picture}.png", self._picture),
            *self._page("/evaluations/{id}/images/{number}", self._image, limiter=self._pictures),
            *self._page("/evaluations/{id}", self._evaluation),
            Route("/runbooks/{name}", self._runbook),
            Route("/static/{name}", self._static),
        ]

    # Pages

    def _status(self, _request: Request) -> Page:
        state = self._app.state
        return status_page(state.snapshot, self._app.evidence, state.runs(), self._app.not_ready())

    def _evaluations(self, request: Request) -> Page:
        query = request.query_params
        return evaluations_page(self._app.evidence, query.get("model") or None, query.get("dataset") or None)

    def _training(self, request: Request) -> Page:
        return training_page(self._app.state.snapshot, request.query_params.get("model") or None)

    def _evaluation(self, request: Request) -> Page:
        entry = self._entry(request)
        snapshot = self._app.state.snapshot
        model, run = snapshot.models.get(entry.model), snapshot.runs.get((entry.model, entry.dataset))
        # The result that is shown has been compared with the baseline model's since it was stored: what the alerts say.
        shown = run is not None and run.evaluation is not None and run.evaluation.id == entry.id
        checks = run.checks if run is not None and shown else self._app.evidence.checks(entry)
        prevalence = parse_prevalence(request.query_params.get("prevalence"))
        return evaluation_page(self._app.evidence, entry, None if model is None else model.baseline, checks, prevalence)

    def _misclassified(self, request: Request) -> Page:
        entry, before, asked = self._asked(request, misclassified=True)
        return images_page(self._app.evidence, entry, before, asked, misclassified=True)

    def _images(self, request: Request) -> Page:
        entry, before, asked = self._asked(request, misclassified=False)
        return images_page(self._app.evidence, entry, before, asked, misclassified=False)

    def _comparison(self, request: Request) -> Page:
        entry = self._entry(request)
        against = request.query_params.get("against") or None
        return comparison_page(self._app.evidence, entry, self._before(entry, against), against)

    def _image(self, request: Request) -> Page:
        entry, row = self._row(request)
        try:
            drawing: Drawing | str = self._drawing(entry, row)
        except ImageError as error:
            drawing = str(error)
        return image_page(self._app.evidence, entry, row, self._app.state.snapshot.models.values(), drawing)

    # Files beside pages

    async def _misclassified_csv(self, request: Request) -> Response:
        return await anyio.to_thread.run_sync(self._selection_csv, request, True)

    async def _images_csv(self, request: Request) -> Response:
        return await anyio.to_thread.run_sync(self._selection_csv, request, False)

    def _selection_csv(self, request: Request, misclassified: bool) -> Response:
        entry, before, asked = _checked(lambda: self._asked(request, misclassified=misclassified))
        return _csv(all_images_table(self._app.evidence, entry, before, asked))

    async def _predictions(self, request: Request) -> Response:
        def read() -> str:
            return predictions_csv(self._app.evidence.predictions(self._entry(request)))

        return Response(await anyio.to_thread.run_sync(read), media_type="text/csv")

    async def _thumbnail(self, request: Request) -> Response:
        return await anyio.to_thread.run_sync(self._thumbnail_of, request, limiter=self._pictures)

    def _thumbnail_of(self, request: Request) -> Response:
        entry, row = self._row(request)
        stored = self._app.evidence.thumbnail(entry, thumbnail_name(row.prediction.path))
        if stored is not None:
            return FileResponse(stored, media_type="image/png")
        try:
            return Response(self._inspector.call(worker.thumbnail, *self._file(entry, row)), media_type="image/png")
        except ImageError as error:
            raise HTTPException(404, f"no picture: {error}") from error

    async def _picture(self, request: Request) -> Response:
        return await anyio.to_thread.run_sync(self._picture_of, request, limiter=self._pictures)

    def _picture_of(self, request: Request) -> Response:
        entry, row = self._row(request)
        name = request.path_params["picture"]
        if name not in PICTURES:
            raise HTTPException(404, f"no such picture; there are {', '.join(PICTURES)}")
        try:
            picture = self._drawing(entry, row).pictures.get(name)
        except ImageError as error:
            raise HTTPException(404, f"no picture: {error}") from error
        if picture is None:
            raise HTTPException(404, "the image has no such plane")
        return Response(picture, media_type="image/png")

    async def _runbook(self, request: Request) -> Response:
        name = request.path_params["name"]
        file = self._app.config.paths.runbooks / name
        if not _RUNBOOK.fullmatch(name) or not file.is_file():
            raise HTTPException(404, "no such runbook")
        return PlainTextResponse(file.read_text(encoding="utf-8"))

    async def _static(self, request: Request) -> Response:
        name = request.path_params["name"]
        if name not in _STATIC:
            raise HTTPException(404, "no such file")
        file, media_type = _STATIC[name]
        return FileResponse(file, media_type=media_type)

    # Stable addresses

    async def _latest(self, request: Request) -> Response:
        query = [(k, v) for k, v in request.query_params.multi_items() if k not in ("model", "dataset")]
        found = await anyio.to_thread.run_sync(self._newest, request)
        path = links.evaluation(found.id)
        if "suffix" in request.path_params:
            path += f".{request.path_params['suffix']}"
        elif "rest" in request.path_params:
            path += f"/{request.path_params['rest']}"
        return RedirectResponse(path + (f"?{urlencode(query)}" if query else ""), 307)

    def _newest(self, request: Request) -> Entry:
        """The evaluation that is shown and scraped now, or, right after a restart, the newest that is stored."""
        model, dataset = request.query_params.get("model", ""), request.query_params.get("dataset", "")
        run = self._app.state.snapshot.runs.get((model, dataset))
        shown = None if run is None or run.evaluation is None else self._app.evidence.find(run.evaluation.id)
        stored = [] if shown is not None else self._app.evidence.entries(model, dataset)
        if shown is None and not stored:
            raise HTTPException(404, f"no evaluation of model {model!r} on dataset {dataset!r} is stored")
        return stored[0] if shown is None else shown

    # What an address names

    def _entry(self, request: Request) -> Entry:
        entry = self._app.evidence.find(request.path_params["id"])
        if entry is None:
            raise HTTPException(404, "no such evaluation, or its evidence had to make room for newer ones")
        return entry

    def _row(self, request: Request) -> tuple[Entry, Row]:
        entry, number = self._entry(request), request.path_params["number"]
        row = self._app.evidence.open(entry).row(int(number)) if _NUMBER.fullmatch(number) else None
        if row is None:
            raise HTTPException(404, "the evaluation has no image of that number")
        return entry, row

    def _asked(self, request: Request, *, misclassified: bool) -> tuple[Entry, Entry | None, ImagesQuery]:
        entry = self._entry(request)
        asked = ImagesQuery.parse(request.query_params, misclassified=misclassified)
        return entry, self._before(entry, asked.against), asked

    def _before(self, entry: Entry, against: str | None) -> Entry | None:
        """What to compare with: an id, a model's newest on the same images, or what was there before."""
        if against is None:
            return self._app.evidence.previous(entry)
        found = self._app.evidence.find(against)
        if found is None:
            same = self._app.evidence.entries(against, entry.dataset)
            found = next((one for one in same if not differences(one.spec, entry.spec, "images")), None)
        if found is None:
            raise HTTPException(
                404,
                f"nothing to compare with: {against[:60]!r} is neither an evaluation nor a model on these images",
            )
        if reason := differences(found.spec, entry.spec, "images"):
            raise HTTPException(409, f"the two evaluations are not comparable: {reason}")
        return found

    def _file(self, entry: Entry, row: Row) -> tuple[object, ...]:
        """What a worker needs to open an image that is still the one that was evaluated."""
        dataset = self._app.config.dataset(entry.dataset)
        if dataset is None:
            raise ImageError(f"dataset {entry.dataset} is not configured any more", reason="unreadable")
        limits = self._app.config.limits
        prediction = row.prediction
        return dataset.path, prediction.path, prediction.sha256, limits.max_file_bytes, limits.max_image_pixels

    def _drawing(self, entry: Entry, row: Row) -> Drawing:
        """From memory, where the page that shows it was built a moment ago."""
        key = (entry.id, row.number)
        drawing = self._drawings.get(key)
        if drawing is None:
            drawing = self._inspector.call(worker.draw, *self._file(entry, row))
            self._drawings[key] = drawing
            while len(self._drawings) > DRAWINGS_KEPT:
                self._drawings.popitem(last=False)
        return drawing

    # Forms

    def _page(
        self, path: str, build: Build, *, data: str | None = None, limiter: anyio.CapacityLimiter | None = None
    ) -> list[Route]:
        """The routes of one page; `data` is its path without suffix where that is another one."""
        base = data or path

        def handler(form: Callable[[Build, Request], Response]) -> Callable[[Request], Awaitable[Response]]:
            async def handle(request: Request) -> Response:
                return await anyio.to_thread.run_sync(form, build, request, limiter=limiter)

            return handle

        return [
            Route(f"{base}.json", handler(_as_json)),
            Route(f"{base}.csv", handler(_as_csv)),
            Route(path, handler(_as_asked)),
        ]


def wants_html(request: Request) -> bool:
    """Whether a person's browser asks."""
    return "text/html" in request.headers.get("accept", "")


def _as_asked(build: Build, request: Request) -> Response:
    accept = request.headers.get("accept", "")
    if not wants_html(request) and "application/json" in accept:
        response = _as_json(build, request)
    elif not wants_html(request) and "text/csv" in accept:
        response = _as_csv(build, request)
    else:
        response = HTMLResponse(html(_checked(lambda: build(request))))
    response.headers["Vary"] = "Accept"
    return response


def _as_json(build: Build, request: Request) -> Response:
    return Response(json_text(_checked(lambda: build(request))), media_type="application/json")


def _as_csv(build: Build, request: Request) -> Response:
    tables = _checked(lambda: build(request)).tables
    name = request.query_params.get("table") or next(iter(tables))
    if name not in tables:
        raise HTTPException(400, f"table: expected one of {', '.join(tables)}; got {name[:40]!r}")
    return _csv(tables[name])


def _csv(table: Table) -> Response:
    return Response(csv_text(table), media_type="text/csv")


def _checked(build: Callable[[], _Built]) -> _Built:
    """What was asked for wrongly is the asker's mistake, not ours."""
    try:
        return build()
    except ValueError as error:
        raise HTTPException(400, str(error)) from error
    except ComparisonError as error:
        raise HTTPException(409, str(error)) from error
