"""The health state of a model: the most severe firing alert, or not measured without an evaluation."""

from __future__ import annotations

from typing import Final

from grafana.source.queries import select
from grafana.source.style import BAD, GOOD, UNKNOWN, WARNING
from starlight_exporter.publish.families import runs

# Alerts about the monitoring stack have no model and dataset labels; they apply to every model.
FIRING: Final = 'ALERTS{alertname=~"Starlight.+",alertstate="firing",model=~"$model|",dataset=~"$dataset|"}'

_CRITICAL: Final = f'({FIRING} and ALERTS{{severity="critical"}})'
WORST_FIRING: Final = f"({_CRITICAL} or ({FIRING} unless ignoring (severity) {_CRITICAL}))"
"""Each firing alert once: the warning is dropped if the critical alert of the same name fires."""


def _any(severity: str) -> str:
    return f'clamp_max(count({FIRING} and ALERTS{{severity="{severity}"}}), 1)'


HEALTH: Final = (
    f"3 * {_any('critical')} or 2 * {_any('warning')}"
    f" or clamp_max(count({select(runs.EVALUATION_INFO)}), 1) or vector(0)"
)
"""Most severe state that applies; without an evaluation and without an alert the state is NOT MEASURED, not HEALTHY."""

HEALTH_STATES: Final = {
    0: ("NOT MEASURED", UNKNOWN),
    1: ("HEALTHY", GOOD),
    2: ("WARNING", WARNING),
    3: ("CRITICAL", BAD),
}
