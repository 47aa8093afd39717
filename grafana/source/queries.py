"""PromQL over the exporter's families: names and labels come from `publish.metrics` and are never typed again."""

from __future__ import annotations

from typing import Final

from starlight_exporter.publish.metrics import Family

VARIABLES: Final = ("model", "dataset", "method")
"""The dashboard variables; a family that has such a label is selected by it."""


def select(family: Family, suffix: str = "", **labels: str) -> str:
    """A selector of one family by the dashboard's variables, and by `labels`: exact values, or `~pattern`."""
    unknown = set(labels) - set(family.labels) - {"le", "job", "instance"}
    if unknown:
        raise ValueError(f"{family.name} has no label {', '.join(sorted(unknown))}")
    matchers = [f'{name}=~"${name}"' for name in VARIABLES if name in family.labels and name not in labels]
    for name, value in labels.items():
        matchers.append(f'{name}=~"{value[1:]}"' if value.startswith("~") else f'{name}="{value}"')
    return family.name + suffix + ("{" + ",".join(matchers) + "}" if matchers else "")


def by(labels: str, expression: str, operator: str = "sum") -> str:
    """The expression with these labels alone: without job, instance and the metric's name, tables can join rows."""
    return f"{operator} by ({', '.join(labels.split())}) ({expression})"


def against(family: Family, baseline: Family, labels: str) -> str:
    """What the baseline promises for every series of a family: the baseline's value in rows of the family's labels."""
    shared = ", ".join(label for label in baseline.labels if label in family.labels)
    promised = f"max by ({shared}) ({select(baseline)})"
    return by(labels, f"0 * {select(family)} + on ({shared}) group_left () {promised}")
