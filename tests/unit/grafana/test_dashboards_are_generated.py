"""The committed dashboards are what the code writes, no more and no less."""

from __future__ import annotations

from pathlib import Path

import pytest

from grafana.source.dashboards import DASHBOARDS

FOLDER = Path(__file__).resolve().parents[3] / "grafana" / "dashboards"


@pytest.mark.parametrize("name", DASHBOARDS)
def test_the_file_is_what_the_code_writes(name: str) -> None:
    written = (FOLDER / f"{name}.json").read_text(encoding="utf-8")
    assert written == DASHBOARDS[name]().json(), "python -m grafana.source rewrites it"


def test_every_file_has_code_behind_it() -> None:
    assert {path.stem for path in FOLDER.glob("*.json")} == set(DASHBOARDS)
