"""All dashboards by file name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from grafana.source.dashboard_builder import DashboardBuilder
from grafana.source.data import data_dashboard
from grafana.source.detection import detection_dashboard
from grafana.source.exporter import exporter_dashboard
from grafana.source.latency import latency_dashboard
from grafana.source.models import models_dashboard
from grafana.source.overview import overview_dashboard

DASHBOARDS: Final[Mapping[str, Callable[[], DashboardBuilder]]] = MappingProxyType(
    {
        "overview": overview_dashboard,
        "detection": detection_dashboard,
        "latency": latency_dashboard,
        "models": models_dashboard,
        "data": data_dashboard,
        "exporter": exporter_dashboard,
    }
)
