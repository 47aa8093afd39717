"""Table columns with the results of the regression checks, and with their limits in use."""

from __future__ import annotations

from grafana.source.check_states import CHECK_STATES, STATE_WIDTH, worst_state
from grafana.source.queries import by, select
from grafana.source.tables import Column
from starlight_exporter.publish.families import checks


def result_column(
    labels: str, checks_pattern: str, *, title: str = "result", slices: str = "", **matchers: str
) -> Column:
    """Return a column with the worst result of the checks by these labels; `slices` is the label of their slices."""
    states = worst_state(labels, checks_pattern, slices=slices, **matchers)
    return Column(title, states, "none", states=CHECK_STATES, width=STATE_WIDTH)


def limit_column(labels: str, check: str, *, title: str = "limit", slices: str = "") -> Column:
    """Return a column with the limit in use of a check by these labels."""
    limits = select(checks.CHECK_LIMIT, check=check)
    if slices:
        limits = f'label_replace({limits}, "{slices}", "$1", "slice", "(.*)")'
    return Column(title, by(labels, limits, "max"), "percentunit", 2, no_value="–")
