"""Build PromQL from the metric families in `publish.metrics`, so that names and labels are defined once."""

from __future__ import annotations

from typing import Final

from starlight_exporter.publish.families.family import Family

VARIABLES: Final = ("model", "dataset", "method")
"""Dashboard variables; families with such a label are filtered by the variable."""


def select(family: Family, suffix: str = "", **labels: str) -> str:
    """Return a selector with the dashboard variables and `labels` as matchers: exact values, or `~pattern`.

    Raises ValueError for a label that the family does not have.
    """
    unknown = set(labels) - set(family.labels) - {"le", "job", "instance"}
    if unknown:
        raise ValueError(f"{family.name} has no label {', '.join(sorted(unknown))}")
    matchers = [f'{name}=~"${name}"' for name in VARIABLES if name in family.labels and name not in labels]
    for name, value in labels.items():
        matchers.append(f'{name}=~"{value[1:]}"' if value.startswith("~") else f'{name}="{value}"')
    return family.name + suffix + ("{" + ",".join(matchers) + "}" if matchers else "")


def by(labels: str, expression: str, operator: str = "sum") -> str:
    """Return the expression aggregated by these labels only, because tables join rows by label."""
    return f"{operator} by ({', '.join(labels.split())}) ({expression})"


def baseline_for(family: Family, baseline: Family, labels: str) -> str:
    """Return the baseline value for every series of a family, with the labels of the family."""
    shared = ", ".join(label for label in baseline.labels if label in family.labels)
    baseline_value = f"max by ({shared}) ({select(baseline)})"
    return by(labels, f"0 * {select(family)} + on ({shared}) group_left () {baseline_value}")
