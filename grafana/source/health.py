"""The one word on the wall: the worst alert that fires, and whether anything is measured at all."""

from __future__ import annotations

from typing import Final

from grafana.source.queries import select
from grafana.source.style import BAD, GOOD, UNKNOWN, WARNING
from starlight_exporter.publish import metrics

# Alerts about the stack itself carry neither model nor dataset: they belong to every one.
FIRING: Final = 'ALERTS{alertname=~"Starlight.+",alertstate="firing",model=~"$model|",dataset=~"$dataset|"}'

_CRITICAL: Final = f'({FIRING} and ALERTS{{severity="critical"}})'
WORST_FIRING: Final = f"({_CRITICAL} or ({FIRING} unless ignoring (severity) {_CRITICAL}))"
"""Each alert once: its warning is no news beside its critical one."""


def _any(severity: str) -> str:
    return f'clamp_max(count({FIRING} and ALERTS{{severity="{severity}"}}), 1)'


HEALTH: Final = (
    f"3 * {_any('critical')} or 2 * {_any('warning')}"
    f" or clamp_max(count({select(metrics.EVALUATION_INFO)}), 1) or vector(0)"
)
"""The worst that holds; without an evaluation and without an alert it is not measured, never healthy."""

MEANINGS: Final = {
    0: ("NOT MEASURED", UNKNOWN),
    1: ("HEALTHY", GOOD),
    2: ("WARNING", WARNING),
    3: ("CRITICAL", BAD),
}
PASSED: Final = {0: ("failed", BAD), 1: ("passed", GOOD)}
