"""The committed dashboards equal the output of the generator."""

from __future__ import annotations

from pathlib import Path

import pytest

from grafana.source.dashboards import DASHBOARDS

FOLDER = Path(__file__).resolve().parents[3] / "grafana" / "dashboards"


@pytest.mark.parametrize("name", DASHBOARDS)
def test_committed_file_is_up_to_date(name: str) -> None:
    written = (FOLDER / f"{name}.json").read_text(encoding="utf-8")
    assert written == DASHBOARDS[name]().json(), "run python -m grafana.source"


def test_every_file_has_a_generator() -> None:
    assert {path.stem for path in FOLDER.glob("*.json")} == set(DASHBOARDS)
