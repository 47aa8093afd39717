"""The shipped dashboards: panels, queries, and expressions with substituted variables."""

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

VARIABLE_QUERY = re.compile(r"label_values\((?P<selector>.+),\s*\w+\)|query_result\((?P<expression>.+)\)")


@dataclass(frozen=True, slots=True)
class DashboardQuery:
    """One PromQL expression of a dashboard; `place` is its panel, annotation or variable."""

    dashboard: str
    place: str
    expr: str
    instant: bool


def load(name: str) -> dict[str, Any]:
    """Load a dashboard by its file name without suffix."""
    content: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    return content


def panels(dashboard: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Return all panels except rows."""
    return (panel for panel in dashboard["panels"] if panel["type"] != "row")


def queries(name: str) -> Iterator[DashboardQuery]:
    """Return all queries of the panels, annotations and variables of a dashboard."""
    dashboard = load(name)
    for panel in panels(dashboard):
        for target in panel.get("targets", []):
            place = f"{panel['title']} ({target['refId']})"
            yield DashboardQuery(name, place, target["expr"], bool(target.get("instant")))
    for annotation in dashboard["annotations"]["list"]:
        yield DashboardQuery(name, f"annotation {annotation['name']}", annotation["expr"], instant=False)
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            match = VARIABLE_QUERY.fullmatch(variable["query"])
            assert match, f"{name}: variable {variable['name']} has the query {variable['query']}"
            yield DashboardQuery(
                name, f"variable {variable['name']}", match["selector"] or match["expression"], instant=True
            )


def plain(expr: str, **variables: str) -> str:
    """Substitute Grafana variables: the given ones by their values, the others by a pattern that matches all.

    The matchers of job and instance are removed if they are not given, because those are exact.
    """
    values = {
        "__rate_interval": "1m",
        "__interval": "15s",
        "__range": "1h",
        **dict.fromkeys(("model", "dataset", "method"), ".+"),
        **variables,
    }
    for name in {"job", "instance"} - set(variables):
        expr = re.sub(rf'{name}="\$?{name}",?', "", expr)
    # A dollar before a digit is a group of label_replace.
    return re.sub(r"\$\{?([a-zA-Z_]\w*)\}?", lambda match: values[match[1]], expr)
