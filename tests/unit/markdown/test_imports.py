"""The markdown dashboard depends on Prometheus only, not on the running exporter."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
ORDER = (
    "samples",
    "prometheus",
    "alerts",
    "trends",
    "trend_charts",
    "check_samples",
    "values",
    "metrics",
    "escaping",
    "exporters",
    "metric_tables",
    "unlabelled",
    "dashboard",
    "content",
    "document",
    "writer",
)
"""Each module imports only modules before it."""
FORBIDDEN = (
    "starlight_exporter.runs",
    "starlight_exporter.dataset",
    "starlight_exporter.publish.evidence",
    "starlight_exporter.publish.history",
)


def imported(file: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def test_every_module_is_listed() -> None:
    assert {file.stem for file in (ROOT / "exporter" / "starlight_exporter" / "markdown").glob("*.py")} == {
        *ORDER,
        "__init__",
    }


@pytest.mark.parametrize("name", ORDER)
def test_imports_go_down(name: str) -> None:
    names = imported(ROOT / "exporter" / "starlight_exporter" / "markdown" / f"{name}.py")
    below = ORDER[: ORDER.index(name)]
    assert {one.split(".")[2] for one in names if one.startswith("starlight_exporter.markdown.")} <= set(below)
    assert not [one for one in names if one.startswith(FORBIDDEN) or one.startswith(("onnxruntime", "PIL"))]
