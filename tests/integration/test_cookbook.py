"""Every query of the cookbook in a real Prometheus that scrapes a real exporter; every name in the promises exists."""

from __future__ import annotations

import json
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
PROMISED = ROOT / "docs" / "promised.md"


@dataclass(frozen=True, slots=True)
class Recipe:
    """One question, its query, and whether the text allows an empty answer."""

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
    """Scrapes an exporter that has evaluated a production and a baseline model on a hundred pictures."""
    folder = tmp_path_factory.mktemp("cookbook")
    write_dataset(folder / "images", clean=40, stego=50, negatives=12)
    for place, (name, seed) in enumerate((("production", 3), ("v3", 4))):
        write_random_model(folder / name / "model.onnx", seed=seed, scale=40.0 + place)
    (folder / "baseline.json").write_text(
        json.dumps({"fpr": 50.0, "detection_rates": dict.fromkeys(("lsb", "eoi"), 50.0)})
    )
    config = write_config(
        folder,
        models=[
            {"name": "production", "file": "production/model.onnx", "role": "production"},
            {"name": "v3", "file": "v3/model.onnx", "role": "baseline"},
        ],
        baseline="baseline.json",
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


def test_there_are_twenty_five_questions_in_order() -> None:
    assert [recipe.question.partition(".")[0] for recipe in recipes()] == [str(n) for n in range(1, 26)]


@pytest.mark.integration
@pytest.mark.parametrize("recipe", recipes(), ids=lambda recipe: recipe.question)
def test_the_query_answers_the_question(prometheus: Prometheus, recipe: Recipe) -> None:
    answer = prometheus.query(recipe.query)
    assert answer or recipe.may_be_empty


@pytest.mark.parametrize("page", [COOKBOOK, PROMISED], ids=lambda page: page.name)
def test_every_metric_on_the_page_exists(page: Path) -> None:
    names = {family.name for family in FAMILIES}
    names |= {
        f"{family.name}{part}"
        for family in FAMILIES
        if family.kind == "histogram"
        for part in ("_bucket", "_sum", "_count")
    }
    mentioned = set(re.findall(r"\bstarlight_[a-z0-9_]+", page.read_text(encoding="utf-8")))
    assert mentioned
    assert mentioned <= names


def test_every_promised_alert_exists() -> None:
    rules = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "prometheus" / "rules").glob("*.yml"))
    alerts = set(re.findall(r"alert: (\w+)", rules))
    mentioned = set(re.findall(r"\bStarlight[A-Z]\w+", PROMISED.read_text(encoding="utf-8")))
    assert len(mentioned) == 9
    assert mentioned <= alerts
