"""Build PromQL from the metric families in `publish.metrics`, so that names and labels are defined once."""

from __future__ import annotations

from typing import Final

from starlight_exporter.publish.families.family import Family

EXPORTER: Final = 'job="$job",instance="$instance"'
"""Matchers of the selected exporter. Every query has them, so no panel mixes exporters."""
VARIABLES: Final = ("model", "dataset", "method")
"""Dashboard variables; families with such a label are filtered by the variable."""
ALL_MODELS: Final = "~.+"
"""Matches every model, for `select`."""


def select(family: Family, suffix: str = "", **labels: str) -> str:
    """Return a selector with the selected exporter, the dashboard variables and `labels` as matchers: exact values,
    `~pattern` or `!~pattern`.

    Raises ValueError for a label that the family does not have.
    """
    unknown = set(labels) - set(family.labels) - {"le"}
    if unknown:
        raise ValueError(f"{family.name} has no label {', '.join(sorted(unknown))}")
    matchers = [EXPORTER]
    matchers += [f'{name}=~"${name}"' for name in VARIABLES if name in family.labels and name not in labels]
    for name, value in labels.items():
        operator, pattern = next((one, value[len(one) :]) for one in ("!~", "~", "") if value.startswith(one))
        matchers.append(f'{name}{operator if operator == "!~" else "=" + operator}"{pattern}"')
    return family.name + suffix + "{" + ",".join(matchers) + "}"


def select_all_models(family: Family, **labels: str) -> str:
    """Return a selector of all models, independent of the dashboard variable."""
    return select(family, model=ALL_MODELS, **labels)


def by(labels: str, expression: str, operator: str = "sum") -> str:
    """Return the expression aggregated by these labels only, because tables join rows by label."""
    return f"{operator} by ({', '.join(labels.split())}) ({expression})"
