"""Pages about all models: status, provisional results, stored evaluations, models side by side, training curves."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from starlight_exporter.runs.application import Application
from starlight_exporter.web.pages.evaluation_list import ListQuery
from starlight_exporter.web.pages.evaluations import evaluations_page
from starlight_exporter.web.pages.models import ModelsQuery, models_page
from starlight_exporter.web.pages.provisional import provisional_page
from starlight_exporter.web.pages.status import status_page
from starlight_exporter.web.pages.training import training_page
from starlight_exporter.web.responses import page_routes, respond


class OverviewRoutes:
    """Handlers of /, /evaluations, /models, /training and /provisional."""

    def __init__(self, application: Application) -> None:
        self._application = application

    def routes(self) -> list[Route]:
        """Return the routes."""
        return [
            *page_routes("/", self.status, data_path="/status"),
            *page_routes("/evaluations", self.evaluations),
            *page_routes("/models", self.models),
            *page_routes("/training", self.training),
            *page_routes("/provisional", self.provisional),
        ]

    def status(self, request: Request) -> Response:
        """Return the matrix of models and datasets, and the recent runs."""
        state = self._application.state
        page = status_page(state.snapshot, self._application.evidence, state.runs(), self._application.not_ready())
        return respond(request, page)

    def evaluations(self, request: Request) -> Response:
        """Return the stored evaluations, filtered and sorted."""
        query = ListQuery.parse(request.query_params)
        return respond(request, evaluations_page(self._application.evidence, self._application.state.snapshot, query))

    def models(self, request: Request) -> Response:
        """Return the results of several models side by side."""
        query = ModelsQuery.parse(request.query_params)
        return respond(request, models_page(self._application.evidence, self._application.state.snapshot, query))

    def provisional(self, request: Request) -> Response:
        """Return the provisional results, or those of one `model` and `dataset`."""
        model, dataset = (request.query_params.get(name) or None for name in ("model", "dataset"))
        return respond(request, provisional_page(self._application.state.snapshot, model, dataset))

    def training(self, request: Request) -> Response:
        """Return the training curves of all models, or of one `model`."""
        page = training_page(self._application.state.snapshot, request.query_params.get("model") or None)
        return respond(request, page)
