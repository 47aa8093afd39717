"""The health state of a model: the most severe firing alert, or not measured without an evaluation."""

from __future__ import annotations

from typing import Final

from grafana.source.limits import alerts_of
from grafana.source.queries import EXPORTER, select
from grafana.source.style import BAD, GOOD, UNKNOWN, WARNING
from starlight_exporter.publish.families import runs

MONITORING: Final = "|".join(("StarlightExporterAbsent", *alerts_of("monitoring.yml")))
"""Alerts about no exporter: that there is none, and those of Prometheus and Alertmanager."""


def alerts(*matchers: str, metric: str = "ALERTS", of_model: bool = True) -> str:
    """Return an expression for the alerts with these matchers: of the selected exporter, and of the monitoring.

    With `of_model`, those of the selected model and datasets; alerts about the exporter have neither and always apply.
    """
    of_exporter = (EXPORTER, *(('model=~"$model|"', 'dataset=~"$dataset|"') if of_model else ()))
    own = ",".join(('alertname=~"Starlight.+"', *matchers, *of_exporter))
    monitoring = ",".join((f'alertname=~"{MONITORING}"', *matchers))
    return f"({metric}{{{own}}} or {metric}{{{monitoring}}})"


_FIRING: Final = 'alertstate="firing"'
_CRITICAL: Final = alerts(_FIRING, 'severity="critical"')
_WORST_FIRING: Final = f"({_CRITICAL} or ({alerts(_FIRING)} unless ignoring (severity) {_CRITICAL}))"
"""Each firing alert once: the warning is dropped if the critical alert of the same name fires."""
FIRING_SINCE: Final = f"{alerts(metric='ALERTS_FOR_STATE')} and ignoring (alertstate) {_WORST_FIRING}"
"""Start of each firing alert in UTC seconds."""


def _any(severity: str) -> str:
    matcher = f'severity="{severity}"'
    return f"clamp_max(count({alerts(_FIRING, matcher)}), 1)"


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
