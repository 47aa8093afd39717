"""Dashboards match Grafana's types and the project's own rules.

tests/resources/grafana/classic.schema.json was made with ts-json-schema-generator from the TypeScript types of
@grafana/schema 13.2.2 (Apache-2.0), with each panel type's own options and field configuration filled in.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator

from grafana.source.data import UNCHANGED
from grafana.source.overview import NO_ALERTS
from grafana.source.provisional import ALL_COMPLETE
from starlight_exporter.formatting import NOT_MEASURED
from support.dashboards import NAMES, load, panels

SCHEMA = json.loads(
    (Path(__file__).parents[2] / "resources" / "grafana" / "classic.schema.json").read_text(encoding="utf-8")
)

# Supported by Grafana, but missing in the types for classic dashboards of @grafana/schema.
EXTRA_ANNOTATION_KEYS = ("expr", "step", "titleFormat", "textFormat", "tagKeys")
EXTRA_VARIABLE_KEYS = ("auto", "auto_count", "auto_min", "definition")
NEW_COLOUR_MODE = "palette-colorblind"

REDUCERS = {"lastNotNull"}
TRANSFORMATIONS = {"convertFieldType", "groupingToMatrix", "merge", "organize", "sortBy"}
UNITS = {"percentunit", "s", "none", "bytes", "dateTimeFromNow"}
OVERRIDES = {
    "color",
    "custom.axisLabel",
    "custom.axisSoftMax",
    "custom.axisSoftMin",
    "custom.cellOptions",
    "custom.fillOpacity",
    "custom.lineStyle",
    "custom.lineWidth",
    "custom.width",
    "decimals",
    "displayName",
    "links",
    "mappings",
    "max",
    "min",
    "noValue",
    "thresholds",
    "unit",
}
COLUMNS = 24

OKABE_ITO = {"#000000", "#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7"}
GREYS = {"#8E8E8E", "transparent"}

every_dashboard = pytest.mark.parametrize("name", NAMES)

NO_VALUE_TEXTS = {
    "Last content change": UNCHANGED,
    "Firing alerts": NO_ALERTS,
    "Provisional results (samples)": ALL_COMPLETE,
}
"""Panels with a text of their own for missing values, because no data is not a problem there."""


def without_untyped_keys(dashboard: dict[str, Any]) -> dict[str, Any]:
    for annotation in dashboard["annotations"]["list"]:
        for key in EXTRA_ANNOTATION_KEYS:
            annotation.pop(key, None)
    for variable in dashboard["templating"]["list"]:
        for key in EXTRA_VARIABLE_KEYS:
            variable.pop(key, None)
    for panel in panels(dashboard):
        if panel["type"] == "table":
            panel["options"].pop("footer", None)
        colour = panel["fieldConfig"]["defaults"].get("color", {})
        if colour.get("mode") == NEW_COLOUR_MODE:
            colour["mode"] = "palette-classic"
    return dashboard


def panel_errors(panel: dict[str, Any]) -> list[str]:
    """Return the errors for the panel's own type; validating the union of types would only report `no match`."""
    for definition in SCHEMA["definitions"]["ClassicDashboard"]["properties"]["panels"]["items"]["anyOf"]:
        validator = Draft7Validator({**definition, "definitions": SCHEMA["definitions"]})
        errors = list(validator.iter_errors(panel))
        if not any(list(error.absolute_path) == ["type"] for error in errors):
            return [f"{panel['title']}: {list(error.absolute_path)}: {error.message[:200]}" for error in errors]
    return [f"{panel['title']}: no definition of type {panel['type']}"]


@every_dashboard
@pytest.mark.slow
def test_dashboard_matches_grafana_types(name: str) -> None:
    dashboard = without_untyped_keys(load(name))
    assert [error for panel in panels(dashboard) for error in panel_errors(panel)] == []
    assert [error.message for error in Draft7Validator(SCHEMA).iter_errors(dashboard)] == []


def test_invalid_option_is_rejected() -> None:
    dashboard = without_untyped_keys(load("overview"))
    chart = next(panel for panel in panels(dashboard) if panel["type"] == "timeseries")
    chart["options"]["legend"]["displayMode"] = "ribbon"
    assert panel_errors(chart)


@every_dashboard
def test_dashboard_supports_file_provisioning(name: str) -> None:
    dashboard = load(name)
    assert dashboard["uid"] == f"starlight-{name}"
    assert dashboard["editable"] is False
    assert dashboard["schemaVersion"] == 42
    assert not {"id", "__inputs", "__requires"} & set(dashboard)
    assert not any("placement" in shown for shown in (*dashboard["links"], *dashboard["annotations"]["list"]))


def test_dashboard_titles_are_unique() -> None:
    titles = [load(name)["title"] for name in NAMES]
    assert len(set(titles)) == len(titles)


@every_dashboard
def test_panel_titles_and_ids_are_unique(name: str) -> None:
    dashboard = load(name)
    ids = Counter(panel["id"] for panel in dashboard["panels"])
    titles = Counter(panel["title"] for panel in panels(dashboard))
    assert [key for key, count in (ids + titles).items() if count > 1] == []
    assert 0 not in ids


@every_dashboard
def test_every_panel_has_title_and_description(name: str) -> None:
    for panel in panels(load(name)):
        assert panel["title"].strip()
        assert len(panel["description"]) >= 50, panel["title"]
        assert panel["description"].endswith("."), panel["title"]


@every_dashboard
def test_every_panel_has_unit_and_no_value_text(name: str) -> None:
    for panel in panels(load(name)):
        defaults = panel["fieldConfig"]["defaults"]
        units = [defaults["unit"], *(value for key, value in properties(panel) if key == "unit")]
        assert set(units) <= UNITS, panel["title"]
        assert defaults["noValue"] == NO_VALUE_TEXTS.get(panel["title"], NOT_MEASURED), panel["title"]


@every_dashboard
def test_every_value_column_has_a_unit(name: str) -> None:
    for panel in panels(load(name)):
        if panel["type"] != "table":
            continue
        organised = [one for one in panel.get("transformations", []) if one["id"] == "organize"]
        for transformation in organised:
            renamed = transformation["options"]["renameByName"]
            columns = {title for source, title in renamed.items() if source.startswith("Value")}
            assert len(columns) == len(panel["targets"]), panel["title"]
            with_unit = {
                override["matcher"]["options"]
                for override in panel["fieldConfig"]["overrides"]
                if any(one["id"] == "unit" for one in override["properties"])
            }
            assert columns <= with_unit, panel["title"]


@every_dashboard
def test_override_reducer_and_transformation_ids_exist(name: str) -> None:
    for panel in panels(load(name)):
        assert {key for key, _ in properties(panel)} <= OVERRIDES, panel["title"]
        assert {one["id"] for one in panel.get("transformations", [])} <= TRANSFORMATIONS, panel["title"]
        assert set(panel["options"].get("reduceOptions", {}).get("calcs", [])) <= REDUCERS, panel["title"]
        assert {one["matcher"]["id"] for one in panel["fieldConfig"]["overrides"]} <= {
            "byName",
            "byRegexp",
            "byFrameRefID",
            "byType",
        }


@every_dashboard
def test_panels_fill_the_grid_without_overlap(name: str) -> None:
    places = [panel["gridPos"] for panel in load(name)["panels"]]
    for place in places:
        assert place["x"] + place["w"] <= COLUMNS
    for one, other in combinations(places, 2):
        apart_x = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        apart_y = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert apart_x or apart_y, (one, other)


@every_dashboard
def test_every_query_has_ref_id_and_every_chart_a_legend(name: str) -> None:
    for panel in panels(load(name)):
        letters = [target["refId"] for target in panel["targets"]]
        assert len(set(letters)) == len(letters) > 0
        for target in panel["targets"]:
            assert target["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        if panel["type"] == "timeseries":
            assert panel["options"]["legend"]["showLegend"] is True
            assert all(target["legendFormat"] != "__auto" for target in panel["targets"]), panel["title"]


@every_dashboard
def test_current_values_use_instant_queries(name: str) -> None:
    """A range query would show the last value of an ended series as current."""
    for panel in panels(load(name)):
        if panel["type"] in ("stat", "bargauge", "table", "trend", "xychart"):
            assert all(target["instant"] and not target.get("range") for target in panel["targets"]), panel["title"]


@every_dashboard
def test_percentage_stats_have_minimum_and_maximum(name: str) -> None:
    for panel in panels(load(name)):
        defaults = panel["fieldConfig"]["defaults"]
        if panel["type"] == "stat" and defaults["unit"] == "percentunit":
            assert (defaults["min"], defaults["max"]) == (0, 1), panel["title"]


@every_dashboard
def test_every_used_variable_is_defined(name: str) -> None:
    text = (json.dumps(load(name))).replace("\\", "")
    defined = {variable["name"] for variable in load(name)["templating"]["list"]}
    used = {match for match in re.findall(r"\$\{?([a-zA-Z_]\w*)", text) if not match.startswith("__")}
    assert used - defined == set()


@every_dashboard
def test_variables_refresh_and_have_defaults(name: str) -> None:
    variables = {variable["name"]: variable for variable in load(name)["templating"]["list"]}
    assert {"datasource", "dataset", "method", "exporter"} <= set(variables)
    for variable in variables.values():
        if variable["type"] == "query":
            assert variable["refresh"] == 2
            assert variable["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
        if variable.get("includeAll"):
            assert (variable["multi"], variable["allValue"]) == (True, ".+")


@every_dashboard
def test_links_cover_all_dashboards_and_keep_time_and_variables(name: str) -> None:
    dashboard = load(name)
    (link,) = dashboard["links"]
    assert (link["type"], link["keepTime"], link["includeVars"]) == ("dashboards", True, True)
    assert set(link["tags"]) <= set(dashboard["tags"])


@every_dashboard
def test_alerts_and_model_changes_are_annotated(name: str) -> None:
    annotations = load(name)["annotations"]["list"]
    assert [(one["name"], one["enable"]) for one in annotations] == [("Firing alerts", True), ("Model changes", True)]


@every_dashboard
def test_colours_are_colour_blind_safe(name: str) -> None:
    text = json.dumps(load(name))
    assert set(re.findall(r"#[0-9A-Fa-f]{6}", text)) <= OKABE_ITO | GREYS
    named = re.findall(r'"(?:color|fixedColor)": "([^"#]+)"', text)
    assert set(named) <= GREYS


def properties(panel: dict[str, Any]) -> list[tuple[str, Any]]:
    """Return id and value of every field override of a panel."""
    return [
        (one["id"], one["value"]) for override in panel["fieldConfig"]["overrides"] for one in override["properties"]
    ]
