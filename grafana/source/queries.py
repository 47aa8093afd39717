"""PromQL over the exporter's families: names and labels come from `exporter.publish.metrics`, never typed again."""

from __future__ import annotations

from typing import Final

from exporter.publish.metrics import Family

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


def within(text: str) -> str:
    """A panel's query with Grafana's variables replaced by values that stand for everything, for a plain Prometheus."""
    replaced = {
        "$__rate_interval": "1m",
        "$__interval": "15s",
        "$__range_s": "3600",
        "$__range": "1h",
        **{f"${name}": ".+" for name in VARIABLES},
    }
    for name, value in replaced.items():
        text = text.replace(name, value)
    return text
