"""A production model without a method output, under the shipped thresholds per method."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from starlight_exporter.detector.decision import PRODUCTION, PRODUCTION_THRESHOLDS
from support.exporter import Exporter, write_config
from support.models import write_random_model

pytestmark = [pytest.mark.integration, pytest.mark.slow]

REQUESTED = PRODUCTION.describe()


def test_one_threshold_is_logged_displayed_and_restored(tmp_path: Path) -> None:
    model = write_random_model(
        tmp_path / "models" / "model.onnx", streams=("pixel", "meta"), method_output=False, scale=40.0
    )
    rule = {"thresholds": dict(PRODUCTION_THRESHOLDS)}
    config = write_config(
        tmp_path,
        models=[
            {"name": "production", "file": str(model), "role": "production", "decision": rule},
            {"name": "baseline", "file": str(model), "role": "baseline", "decision": rule},
        ],
        latency={"sample": 5},
    )
    with Exporter(config) as exporter:
        for name in ("production", "baseline"):
            exporter.wait_for_value(1.0, "evaluations_total", model=name, outcome="success")
            assert exporter.value("evaluation_info", model=name, decision="probability > 0.5") == 1.0
        first = exporter.value("evaluation_timestamp_seconds", model="production")
        assert exporter.total("method_predictions", model="production") == 0
        page = httpx.get(f"{exporter.url}/evaluations/{newest(exporter)}").text
        text = "probability &gt; 0.5 (the model predicts no method; requested: probability &gt; alpha 0.7, "
        assert text in page
        image = httpx.get(f"{exporter.url}/evaluations/{newest(exporter)}/images/0.json").json()
        assert {one["decision"] for one in image["verdicts"]} == {"probability > 0.5"}
        assert exporter.stop() == 0
        log = exporter.log.read_text()
    assert f"predicts no method: decided by probability > 0.5, not by {REQUESTED}" in log
    # The requested rule has not changed, so the result still applies.
    with Exporter(config) as exporter:
        exporter.wait_until(
            lambda: exporter.value("evaluation_timestamp_seconds", model="production") == first, "the restored result"
        )
        assert exporter.value("evaluations_total", model="production", outcome="success") == 0.0
    # The applied rule is the same as before, but now it is the requested one.
    write_config(
        tmp_path,
        models=[
            {"name": "production", "file": str(model), "role": "production", "decision": {"threshold": 0.5}},
        ],
        latency={"sample": 5},
    )
    with Exporter(config) as exporter:
        exporter.wait_for_value(1.0, "evaluations_total", model="production", outcome="success")
        assert "(the model predicts no method" not in httpx.get(f"{exporter.url}/evaluations/{newest(exporter)}").text


def newest(exporter: Exporter) -> str:
    """Return the id of the newest evaluation of the production model."""
    runs = httpx.get(f"{exporter.url}/api/v1/evaluations").json()["evaluations"]
    return str(next(run["id"] for run in reversed(runs) if run["model"] == "production"))
