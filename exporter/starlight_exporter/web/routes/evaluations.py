"""Pages of one evaluation, addressed by its id: results, images, comparison, embeddings and predictions."""

from __future__ import annotations

from urllib.parse import urlencode

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

from starlight_exporter.publish.predictions_csv import predictions_csv
from starlight_exporter.publish.retention import Entry
from starlight_exporter.runs.application import Application
from starlight_exporter.web.lookup import compared_evaluation, requested_evaluation
from starlight_exporter.web.pages import links
from starlight_exporter.web.pages.comparison import comparison_page
from starlight_exporter.web.pages.embeddings import embeddings_page
from starlight_exporter.web.pages.evaluation import evaluation_page, parse_prevalence
from starlight_exporter.web.pages.images import ImagesQuery, all_images_table, images_page
from starlight_exporter.web.responses import csv_response, page_routes, respond


class EvaluationRoutes:
    """Handlers of /evaluations/latest… and /evaluations/{id}…, without single images."""

    def __init__(self, application: Application) -> None:
        self._application = application

    def routes(self) -> list[Route]:
        """Return the routes; the more specific ones first."""
        return [
            Route("/evaluations/latest", self.latest),
            Route("/evaluations/latest.{suffix}", self.latest),
            Route("/evaluations/latest/{rest}", self.latest),
            Route("/evaluations/{id}/predictions.csv", self.predictions_csv),
            Route("/evaluations/{id}/misclassified.csv", self.misclassified_csv),
            Route("/evaluations/{id}/images.csv", self.images_csv),
            *page_routes("/evaluations/{id}/misclassified", self.misclassified),
            *page_routes("/evaluations/{id}/images", self.images),
            *page_routes("/evaluations/{id}/comparison", self.comparison),
            *page_routes("/evaluations/{id}/embeddings", self.embeddings),
            *page_routes("/evaluations/{id}", self.evaluation),
        ]

    def evaluation(self, request: Request) -> Response:
        """Return one evaluation with its checks and provenance; `prevalence` is the assumed share of stego images."""
        evidence = self._application.evidence
        entry = requested_evaluation(evidence, request)
        prevalence = parse_prevalence(request.query_params.get("prevalence"))
        snapshot, baseline = self._application.state.snapshot, self._application.config.baseline
        page = evaluation_page(evidence, entry, snapshot, prevalence, baseline_file=baseline)
        return respond(request, page)

    def misclassified(self, request: Request) -> Response:
        """Return one page of the misclassified images."""
        evidence = self._application.evidence
        entry = requested_evaluation(evidence, request)
        query = ImagesQuery.parse(request.query_params, misclassified=True)
        before = compared_evaluation(evidence, entry, query.against)
        return respond(request, images_page(evidence, entry, before, query, misclassified=True))

    def images(self, request: Request) -> Response:
        """Return one page of all images."""
        evidence = self._application.evidence
        entry = requested_evaluation(evidence, request)
        query = ImagesQuery.parse(request.query_params, misclassified=False)
        before = compared_evaluation(evidence, entry, query.against)
        return respond(request, images_page(evidence, entry, before, query, misclassified=False))

    def misclassified_csv(self, request: Request) -> Response:
        """Return all misclassified images of the selection as CSV."""
        evidence = self._application.evidence
        entry = requested_evaluation(evidence, request)
        query = ImagesQuery.parse(request.query_params, misclassified=True)
        before = compared_evaluation(evidence, entry, query.against)
        return csv_response(all_images_table(evidence, entry, before, query))

    def images_csv(self, request: Request) -> Response:
        """Return all images of the selection as CSV."""
        evidence = self._application.evidence
        entry = requested_evaluation(evidence, request)
        query = ImagesQuery.parse(request.query_params, misclassified=False)
        before = compared_evaluation(evidence, entry, query.against)
        return csv_response(all_images_table(evidence, entry, before, query))

    def comparison(self, request: Request) -> Response:
        """Return the paired comparison with the previous evaluation, or with the one in `against`."""
        evidence = self._application.evidence
        entry = requested_evaluation(evidence, request)
        against = request.query_params.get("against") or None
        before = compared_evaluation(evidence, entry, against)
        return respond(request, comparison_page(evidence, entry, before, against))

    def embeddings(self, request: Request) -> Response:
        """Return the separation of the embeddings, and the images projected on two components."""
        evidence = self._application.evidence
        return respond(request, embeddings_page(evidence, requested_evaluation(evidence, request)))

    def predictions_csv(self, request: Request) -> Response:
        """Return all predictions with the columns of scripts/monitor_performance.py --predictions."""
        evidence = self._application.evidence
        predictions = evidence.predictions(requested_evaluation(evidence, request))
        return StreamingResponse(predictions_csv(predictions), media_type="text/csv")

    def latest(self, request: Request) -> Response:
        """Redirect to the same page of the current evaluation of `model` on `dataset`, with all other parameters."""
        model, dataset = request.query_params.get("model", ""), request.query_params.get("dataset", "")
        path = request.scope["root_path"] + links.evaluation(self._current(model, dataset).id)
        if "suffix" in request.path_params:
            path += f".{request.path_params['suffix']}"
        elif "rest" in request.path_params:
            path += f"/{request.path_params['rest']}"
        query = [(k, v) for k, v in request.query_params.multi_items() if k not in ("model", "dataset")]
        return RedirectResponse(path + (f"?{urlencode(query)}" if query else ""), 307)

    def _current(self, model: str, dataset: str) -> Entry:
        """Return the evaluation that /metrics exposes, or the newest stored one before it is restored."""
        evidence = self._application.evidence
        run = self._application.state.snapshot.runs.get((model, dataset))
        current = None if run is None or run.evaluation is None else evidence.find(run.evaluation.id)
        entry = current or next(iter(evidence.entries(model, dataset)), None)
        if entry is None:
            raise HTTPException(404, f"no evaluation of model {model!r} on dataset {dataset!r} is stored")
        return entry
