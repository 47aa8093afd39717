"""The notebook in docs/examples runs, with small models and images in place of the shipped ones."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from support.models import write_random_model

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOK = ROOT / "docs" / "examples" / "history_and_flips.ipynb"
STORED = ROOT / "tests" / "resources" / "stored" / "0.1.0" / "data" / "history.jsonl"

pytestmark = pytest.mark.slow


def code_cells() -> dict[str, str]:
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    return {cell["id"]: "".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"}


def run_cell(source: str, names: dict[str, Any]) -> Any:
    """Run a cell as Jupyter does; return the value of its last expression, None without one."""
    module = ast.parse(source)
    last = module.body.pop() if isinstance(module.body[-1], ast.Expr) else None
    exec(compile(module, str(NOTEBOOK), "exec"), names)
    if last is None:
        return None
    assert isinstance(last, ast.Expr)
    return eval(compile(ast.Expression(last.value), str(NOTEBOOK), "eval"), names)


def run_notebook(**parameters: object) -> dict[str, Any]:
    """Return the displayed value of each cell."""
    names: dict[str, Any] = {"__name__": "__main__"}
    values = {}
    for name, source in code_cells().items():
        values[name] = run_cell(source, names)
        if name == "parameters":
            assert parameters.keys() == {key for key in names if key.isupper()}
            names |= parameters
    return values


def test_is_stored_without_outputs() -> None:
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in cells if "outputs" in cell)


def test_plots_the_history_and_shows_the_images_of_flips(model_path: Path, dataset_root: Path, tmp_path: Path) -> None:
    pytest.importorskip("pandas")
    other = write_random_model(tmp_path / "other.onnx", seed=4, scale=40.0)
    values = run_notebook(HISTORY=str(STORED), BEFORE=str(model_path), AFTER=str(other), DATASET=str(dataset_root))
    assert {"alpha", "palette", "lsb", "exif", "eoi"} <= set(values["newest"].columns)
    chart = ElementTree.fromstring(values["plot"]._repr_svg_())
    lines = chart.findall("{*}polyline")
    assert len(lines) == 5
    assert all(line.get("points") for line in lines)
    counts = values["scores"]
    assert counts["images"].to_dict() == {"clean": 40, "negatives": 12, "stego": 40}
    flipped = counts["fixed"].sum() + counts["broken"].sum()
    assert flipped > 0
    page = values["images"]._repr_html_()
    assert page.count("<img src=") == min(flipped, 20)


def test_no_flips_between_equal_models(model_path: Path, dataset_root: Path) -> None:
    pytest.importorskip("pandas")
    values = run_notebook(HISTORY=str(STORED), BEFORE=str(model_path), AFTER=str(model_path), DATASET=str(dataset_root))
    assert values["images"]._repr_html_() == "<p>No flips.</p>"
