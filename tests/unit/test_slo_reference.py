"""docs/slo.md follows from the configuration. STARLIGHT_UPDATE_GOLDEN=1 rewrites it."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from starlight_exporter.checks.alerts import ALERT_NAMES
from starlight_exporter.checks.limits import CHECK_NAMES
from starlight_exporter.config import load_config
from starlight_exporter.slo_reference import objectives, service_level_objectives
from starlight_exporter.statistics.intervals import clopper_pearson
from support.rules import ALERTS, known_metrics, mixing, promtool, selectors

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = ROOT / "docs" / "slo.md"
SHIPPED = ROOT / "config" / "starlight.yml"


def configuration(folder: Path, text: str) -> Path:
    file = folder / "starlight.yml"
    file.write_text(
        "models: [{name: production, file: m.onnx, role: production}]\n"
        f"datasets: [{{name: own, path: images}}, {{name: quiet, path: others, alerts: false}}]\n{text}"
    )
    return file


def test_document_equals_the_configuration() -> None:
    text = service_level_objectives(load_config(SHIPPED))
    if os.environ.get("STARLIGHT_UPDATE_GOLDEN") == "1":
        DOCUMENT.write_text(text, encoding="utf-8")
    assert DOCUMENT.read_text(encoding="utf-8") == text, "STARLIGHT_UPDATE_GOLDEN=1 rewrites it"


def test_every_check_has_an_objective_and_the_alert_of_its_rules() -> None:
    found = {one.key.removeprefix("checks."): one.alert for one in objectives(load_config(SHIPPED))}
    assert found.pop("schedule") in {rule.alert for rule in ALERTS}
    assert found == {check: ALERT_NAMES.get(check, "") for check in CHECK_NAMES} | {"detection_target": ""}


def test_limits_are_those_of_the_configuration(tmp_path: Path) -> None:
    limits = "checks: {fpr_target: 0.01, detection_floor: 0.8, latency_limit: 20ms, disabled: [negatives],"
    file = configuration(tmp_path, f"schedule: {{interval: 2h}}\n{limits} informational: [latency_limit]}}\n")
    config = load_config(file)
    found = {one.key: one for one in objectives(config)}
    assert found["schedule"].limit == "at most 2 × the interval, 4h"
    assert found["checks.fpr_target"].limit == "below 1.00%"
    assert found["checks.detection_floor"].limit == "above 80.00%"
    assert (found["checks.latency_limit"].limit, found["checks.latency_limit"].alert) == ("below 20.00 ms", "")
    assert "checks.negatives" not in found
    for key, limit in (("checks.fpr_target", 0.01), ("checks.detection_floor", 0.2)):
        images = found[key].images
        assert images is not None
        assert clopper_pearson(0, images)[1] < limit <= clopper_pearson(0, images - 1)[1]
    assert "with `alerts: true` (`own`)." in service_level_objectives(config)


@pytest.mark.parametrize("limit", ["0", "1"])
def test_limit_that_no_sample_confirms_has_no_images(tmp_path: Path, limit: str) -> None:
    file = configuration(tmp_path, f"schedule: {{interval: 2h}}\nchecks: {{fpr_target: {limit}}}\n")
    (objective,) = (one for one in objectives(load_config(file)) if one.key == "checks.fpr_target")
    assert objective.images is None


def test_cron_has_no_fixed_interval(tmp_path: Path) -> None:
    found = objectives(load_config(configuration(tmp_path, "schedule: {cron: '0 3 * * *'}\n")))
    assert next(found).limit == "at most 2 × the interval"


@pytest.mark.usefixtures("release")
def test_queries_are_valid_and_mix_no_exporters(tmp_path: Path) -> None:
    queries = re.findall(r"```promql\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)
    assert len(queries) == 3
    known = known_metrics()
    for number, query in enumerate(queries):
        assert {one.metric for one in selectors(query)} <= set(known)
        assert mixing(query) == []
        rules = tmp_path / f"{number}.yml"
        indented = query.replace("\n", "\n          ")
        rules.write_text(
            f"groups:\n  - name: a\n    rules:\n      - record: a\n        expr: |\n          {indented}\n"
        )
        result = promtool("check", "rules", "--lint=none", rules)
        assert result.returncode == 0, result.stderr
