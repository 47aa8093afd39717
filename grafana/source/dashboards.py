"""All dashboards by file name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from grafana.source.dashboard_builder import DashboardBuilder
from grafana.source.data import data
from grafana.source.detection import detection
from grafana.source.exporter import exporter
from grafana.source.latency import latency
from grafana.source.models import models
from grafana.source.overview import overview

DASHBOARDS: Final[Mapping[str, Callable[[], DashboardBuilder]]] = MappingProxyType(
    {
        "overview": overview,
        "detection": detection,
        "latency": latency,
        "models": models,
        "data": data,
        "exporter": exporter,
    }
)
