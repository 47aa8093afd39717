"""The committed dashboards as Python values: panels, queries, and the expressions as a plain Prometheus takes them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[2] / "grafana" / "dashboards"
FILES = tuple(sorted(FOLDER.glob("*.json")))
NAMES = tuple(path.stem for path in FILES)

LABEL_VALUES = re.compile(r"label_values\((?:(?P<selector>.+),\s*)?(?P<label>\w+)\)")


@dataclass(frozen=True, slots=True)
class DashboardQuery:
    """One PromQL expression of a dashboard; `place` tells where it stands."""

    dashboard: str
    place: str
    expr: str
    instant: bool


def load(name: str) -> dict[str, Any]:
    """A dashboard by the name of its file."""
    content: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    return content


def panels(dashboard: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Every panel that is not a row."""
    return (panel for panel in dashboard["panels"] if panel["type"] != "row")


def queries(name: str) -> Iterator[DashboardQuery]:
    """Every query of every panel, annotation and variable of a dashboard."""
    dashboard = load(name)
    for panel in panels(dashboard):
        for target in panel.get("targets", []):
            place = f"{panel['title']} ({target['refId']})"
            yield DashboardQuery(name, place, target["expr"], bool(target.get("instant")))
    for annotation in dashboard["annotations"]["list"]:
        yield DashboardQuery(name, f"annotation {annotation['name']}", annotation["expr"], instant=False)
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            match = LABEL_VALUES.fullmatch(variable["query"])
            assert match, f"{name}: variable {variable['name']} asks {variable['query']}"
            yield DashboardQuery(name, f"variable {variable['name']}", match["selector"], instant=True)


def plain(expr: str, **variables: str) -> str:
    """An expression with Grafana's variables filled in: given ones by their values, all others by everything."""
    values = {
        "__rate_interval": "1m",
        "__interval": "15s",
        "__range": "1h",
        **dict.fromkeys(("model", "dataset", "method"), ".+"),
        **variables,
    }
    return re.sub(r"\$\{?(\w+)\}?", lambda match: values[match[1]], expr)
