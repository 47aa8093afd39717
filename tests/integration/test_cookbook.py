"""Cookbook queries run against Prometheus and exporter; metrics and alerts in the documents exist."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from starlight_exporter.publish.families import FAMILIES
from support.exporter import Exporter, write_config
from support.images import write_dataset
from support.models import write_random_model
from support.servers import Prometheus

ROOT = Path(__file__).resolve().parents[2]
COOKBOOK = ROOT / "docs" / "cookbook.md"
REQUIREMENTS = ROOT / "docs" / "requirements.md"


@dataclass(frozen=True, slots=True)
class Recipe:
    """A question, its query, and whether its result may be empty."""

    question: str
    query: str
    may_be_empty: bool


def recipes() -> list[Recipe]:
    parts = re.split(r"^### ", COOKBOOK.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    found = []
    for part in parts:
        (query,) = re.findall(r"^```promql\n(.+?)^```$", part, re.DOTALL | re.MULTILINE)
        found.append(Recipe(part.partition("\n")[0], query.strip(), "\n*Empty " in part))
    return found


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """Prometheus with results of a production and a baseline model on a hundred images."""
    folder = tmp_path_factory.mktemp("cookbook")
    write_dataset(folder / "images", clean=40, stego=50, negatives=12)
    for index, (name, seed) in enumerate((("production", 3), ("v3", 4))):
        write_random_model(folder / name / "model.onnx", seed=seed, scale=40.0 + index)
    config = write_config(
        folder,
        models=[
            {"name": "production", "file": "production/model.onnx", "role": "production"},
            {"name": "v3", "file": "v3/model.onnx", "role": "baseline"},
        ],
        latency={"sample": 80},
    )
    with Exporter(config) as exporter:
        scrape = folder / "prometheus.yml"
        scrape.write_text(
            "global: {scrape_interval: 1s}\nscrape_configs:\n  - job_name: starlight-exporter\n    static_configs:\n"
            f"      - targets: ['127.0.0.1:{exporter.port}']\n"
        )
        with Prometheus(scrape, folder / "tsdb", log=folder / "prometheus.log") as server:
            server.wait_for_value('starlight_evaluation_timestamp_seconds{model="production"}', timeout=120)
            server.wait_for_value('starlight_evaluation_timestamp_seconds{model="v3"}', timeout=120)
            server.wait_for_value("count(starlight_comparison_flips) > 0", timeout=60)
            yield server


def test_questions_are_numbered_in_order() -> None:
    assert [recipe.question.partition(".")[0] for recipe in recipes()] == [str(n) for n in range(1, 39)]


@pytest.mark.integration
@pytest.mark.parametrize("recipe", recipes(), ids=lambda recipe: recipe.question)
def test_query_returns_data(prometheus: Prometheus, recipe: Recipe) -> None:
    assert prometheus.query(recipe.query) or recipe.may_be_empty


@pytest.mark.parametrize("page", [COOKBOOK, REQUIREMENTS], ids=lambda page: page.name)
def test_metrics_in_document_exist(page: Path) -> None:
    names = {family.name for family in FAMILIES}
    names |= {
        f"{family.name}{part}"
        for family in FAMILIES
        if family.kind == "histogram"
        for part in ("_bucket", "_sum", "_count")
    }
    mentioned = set(re.findall(r"(?<![/\w])starlight_[a-z0-9_]+", page.read_text(encoding="utf-8")))
    assert mentioned
    assert mentioned <= names


def test_alerts_in_requirements_exist() -> None:
    rules = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "prometheus" / "rules").glob("*.yml"))
    alerts = set(re.findall(r"alert: (\w+)", rules))
    mentioned = set(re.findall(r"\bStarlight[A-Z]\w+", REQUIREMENTS.read_text(encoding="utf-8")))
    assert len(mentioned) == 11
    assert mentioned <= alerts
