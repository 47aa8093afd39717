"""States of the regression checks, from the exporter's metrics: the conclusion, or why there is none."""

from __future__ import annotations

from typing import Final

from grafana.source.queries import ALL_MODELS, by, select
from grafana.source.style import BAD, BLUE, GOOD, UNKNOWN, WARNING
from starlight_exporter.checks.results import NOT_COMPARABLE_REASONS
from starlight_exporter.formatting import NOT_MEASURED
from starlight_exporter.publish.families import checks, models
from starlight_exporter.publish.families.family import Family

NOT_MEASURED_STATE, NOT_COMPARABLE_STATE, PASS_STATE, INCONCLUSIVE_STATE = range(4)
INFORMATIONAL_STATE, NOT_SIGNIFICANT_STATE, SIGNIFICANT_STATE = range(4, 7)

CHECK_STATES: Final = {
    NOT_MEASURED_STATE: (NOT_MEASURED, UNKNOWN),
    NOT_COMPARABLE_STATE: ("not comparable", UNKNOWN),
    PASS_STATE: ("pass", GOOD),
    INCONCLUSIVE_STATE: ("pass (inconclusive)", GOOD),
    INFORMATIONAL_STATE: ("fail (informational)", BLUE),
    NOT_SIGNIFICANT_STATE: ("fail (not significant)", WARNING),
    SIGNIFICANT_STATE: ("fail (significant)", BAD),
}
"""Text and colour of each state, the worst last; the worst of several checks is their maximum."""

STATE_WIDTH: Final = 145
"""Width of a column of states; fits the longest text."""

_REASONS: Final = "|".join(sorted(NOT_COMPARABLE_REASONS))


def check_states(checks_pattern: str = ".+", **labels: str) -> str:
    """Return an expression for the state of every check whose name matches, with the labels of its metrics.

    Checks without a result also have the label `reason`.
    """

    def of(family: Family, **more: str) -> str:
        return select(family, check=f"~{checks_pattern}", **labels, **more)

    passed = of(checks.REGRESSION_CHECK_PASSED)
    failed = f"({passed} == 0)"
    # Of production, only informational checks and those on a dataset without alerts do not alert.
    production = select(models.MODEL_INFO, role="production", model=ALL_MODELS)
    informational = f"({of(checks.CHECK_ALERTS)} == 0 and on (model) {production})"
    return (
        f"({INCONCLUSIVE_STATE} - {of(checks.REGRESSION_CHECK_CONCLUSIVE)} and {passed} == 1"
        f" or {failed} + {INFORMATIONAL_STATE} and {informational}"
        f" or {of(checks.REGRESSION_CHECK_SIGNIFICANT)} + {NOT_SIGNIFICANT_STATE} and {failed}"
        f" or {of(checks.REGRESSION_CHECK_UNAVAILABLE, reason=f'~{_REASONS}')} * {NOT_COMPARABLE_STATE}"
        f" or {of(checks.REGRESSION_CHECK_UNAVAILABLE, reason=f'!~{_REASONS}')} * {NOT_MEASURED_STATE})"
    )


def worst_state(by_labels: str, checks_pattern: str, *, slices: str = "", **labels: str) -> str:
    """Return an expression for the worst state by these labels; `slices` is the label that the slice is renamed to."""
    states = check_states(checks_pattern, **labels)
    if slices:
        states = f'label_replace({states}, "{slices}", "$1", "slice", "(.*)")'
    return by(by_labels, states, "max")


def limit_in_use(check: str, **labels: str) -> str:
    """Return an expression for the limit of a check: the highest of all selected datasets and slices."""
    return f"max({select(checks.CHECK_LIMIT, check=check, **labels)})"
