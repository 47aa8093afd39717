"""The model change annotation, evaluated by Prometheus's own engine."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from support.dashboards import FILES, plain
from support.servers import run_tool


@pytest.mark.usefixtures("release")
def test_annotates_replaced_file_but_not_first_file(tmp_path: Path) -> None:
    series = [
        # Replaced after 20 minutes; the other arrives after 10.
        {"series": 'starlight_model_info{model="production",sha256="old"}', "values": "1x40 _x40"},
        {"series": 'starlight_model_info{model="production",sha256="new"}', "values": "_x41 1x40"},
        {"series": 'starlight_model_info{model="research",sha256="first"}', "values": "_x20 1x60"},
    ]
    changed = [{"labels": '{model="production",sha256="new"}', "value": 1}]
    expected = {"0s": [], "5m": [], "11m": [], "20m": [], "21m": changed, "25m": []}
    tests_of_expressions = [
        {"expr": annotation(file), "eval_time": at, "exp_samples": samples}
        for file in FILES
        for at, samples in expected.items()
    ]
    tests = tmp_path / "tests.yml"
    tests.write_text(
        yaml.safe_dump(
            {"tests": [{"interval": "30s", "input_series": series, "promql_expr_test": tests_of_expressions}]}
        )
    )
    code, output = run_tool(["promtool", "test", "rules", str(tests)])
    assert code == 0, output


def annotation(file: Path) -> str:
    """Return the query of a dashboard's model change annotation for all models."""
    dashboard = json.loads(file.read_text(encoding="utf-8"))
    (expr,) = (one["expr"] for one in dashboard["annotations"]["list"] if one["name"] == "Model changes")
    return plain(expr)
