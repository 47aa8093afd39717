"""Training curves of several models in one chart."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import httpx
import pytest

from starlight_exporter.models.training_log import TrainingEpoch, TrainingHealth
from starlight_exporter.publish.charts import SERIES
from starlight_exporter.publish.style_sheets import CHARTS
from starlight_exporter.web.pages.compared_curves import compared_curves
from support.snapshots import full_evaluation, full_snapshot, model_state, run_state
from support.web import LocalServer, idle_application


def health(*losses: float | None, first: int = 1) -> TrainingHealth:
    epochs = [TrainingEpoch(first + number, loss, loss, 0.5, 0.5) for number, loss in enumerate(losses)]
    return TrainingHealth(tuple(epochs), None, None, None, diverged=False)


def test_copies_share_a_curve_and_axes_are_logarithmic() -> None:
    found = compared_curves(
        {"a": health(1.0, 0.1, 0.01), "copy": health(1.0, 0.1, 0.01), "b": health(0.9, 0.5), "none": None}
    )
    assert found is not None
    assert (found.names, found.left_out) == (("a, copy", "b"), ())
    root = ElementTree.fromstring(found.chart)
    first, second = (line.get("points", "").split() for line in root.findall("{*}polyline"))
    (_, y1), (x2, y2), (x3, y3) = (map(float, point.split(",")) for point in first)
    # Equal factors are equal distances.
    assert y2 - y1 == pytest.approx(y3 - y2, abs=0.2)
    left, right = 74.0, x3
    assert (x2 - left) / (right - left) == pytest.approx(0.6309, abs=0.01)
    assert len(second) == 2
    texts = {element.text for element in root.iter() if element.tag.endswith("text")}
    assert {"1", "10", "0.01", "0.1"} - texts == {"10"}


@pytest.mark.parametrize(
    "models",
    [
        {},
        {"a": health(1.0, 0.5)},
        {"a": health(1.0, 0.5), "copy": health(1.0, 0.5)},
        {"a": health(1.0, 0.5), "one epoch": health(0.4)},
        {"a": health(1.0, 0.5), "zero": health(0.0, 0.0), "unknown": health(None, None)},
        {"a": health(1.0, 0.5), "before the first epoch": health(1.0, 0.3, first=-1)},
    ],
)
def test_fewer_than_two_curves_have_no_chart(models: dict[str, TrainingHealth | None]) -> None:
    assert compared_curves(models) is None


def test_extreme_losses_are_drawn() -> None:
    found = compared_curves({"a": health(1e9, 1e-300), "b": health(1.0, 1.0)})
    assert found is not None
    assert found.chart.count("<text") < 40
    assert compared_curves({"a": health(2.0, 2.0), "b": health(2.0, 2.0, 2.0)}) is not None


def test_every_line_has_a_colour_and_other_models_are_named() -> None:
    models: dict[str, TrainingHealth | None] = {f"m{n}": health(1.0, 0.5 - n / 100) for n in range(SERIES + 2)}
    found = compared_curves(models)
    assert found is not None
    assert len(found.names) == SERIES
    assert found.left_out == (f"m{SERIES}", f"m{SERIES + 1}")
    css = CHARTS.read_text()
    for kind in ("series", "fill"):
        used = set(re.findall(rf"{kind}-(\d)", found.chart))
        assert used == set(map(str, range(SERIES)))
        assert all(f".chart .{kind}-{number} " in css for number in used)


@pytest.mark.slow
def test_page_of_all_models_has_the_chart(tmp_path: Path) -> None:
    snapshot = full_snapshot()
    for name, losses in (("production", (1.0, 0.2)), ("v3", (1.0, 0.4))):
        result = replace(full_evaluation(), model=name, training=health(*losses))
        snapshot = snapshot.with_model(replace(model_state(), name=name)).with_run(name, "reference", run_state(result))
    with LocalServer(idle_application(tmp_path, snapshot)) as served:
        every, one = (
            httpx.get(f"{served.url}/training{query}", headers={"Accept": "text/html"}).text
            for query in ("", "?model=v3")
        )
    assert "<li>production</li><li>v3</li>" in every
    assert "Validation loss of all models" in every
    assert "Validation loss of all models" not in one
