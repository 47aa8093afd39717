"""Exporter process while the system clock is set back and forward: files are polled and evaluations scheduled."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.exporter import Exporter, write_config
from support.models import write_constant_model

pytestmark = [pytest.mark.integration, pytest.mark.slow]

LIBRARIES = (
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1",
)
LIBRARY = next((path for path in LIBRARIES if Path(path).exists()), None)


@pytest.mark.skipif(LIBRARY is None, reason="libfaketime is not installed")
@pytest.mark.parametrize(("step", "seconds"), [("-1h", -3600), ("+1y", 365 * 86400)])
def test_step_of_the_system_clock_stops_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str, seconds: int
) -> None:
    offset = tmp_path / "offset"
    offset.write_text("+0")
    assert LIBRARY is not None
    config = write_config(tmp_path, schedule={"interval": "30s"}, latency={"sample": 0})
    monkeypatch.setenv("LD_PRELOAD", LIBRARY)
    monkeypatch.setenv("FAKETIME_TIMESTAMP_FILE", str(offset))
    monkeypatch.setenv("FAKETIME_NO_CACHE", "1")
    monkeypatch.setenv("FAKETIME_DONT_FAKE_MONOTONIC", "1")
    monkeypatch.setenv("DONT_FAKE_MONOTONIC", "1")
    with Exporter(config) as exporter:
        exporter.wait_for_value(0.0, "detections", model="production", method="lsb")
        before = exporter.value("evaluation_timestamp_seconds", model="production")
        assert before is not None
        offset.write_text(step)
        exporter.wait_for_value(1.0, "clock_steps_total")
        # Polled.
        write_constant_model(tmp_path / "better.onnx", logit=4.0).replace(tmp_path / "models" / "model.onnx")
        exporter.wait_for_value(2.0, "detections", model="production", method="lsb")
        after = exporter.value("evaluation_timestamp_seconds", model="production")
        assert after is not None
        assert after - before == pytest.approx(seconds, abs=600)
        age = exporter.value("evaluation_age_seconds", model="production")
        assert age is not None
        assert 0 <= age < 600
        # Scheduled.
        evaluations = exporter.value("evaluations_total", model="production", outcome="success")
        assert evaluations is not None
        exporter.wait_until(
            lambda: (exporter.value("evaluations_total", model="production", outcome="success") or 0) > evaluations,
            "a scheduled evaluation",
            timeout=180.0,
        )
        assert exporter.value("clock_steps_total") == 1.0
        assert exporter.log.read_text().count("system clock stepped") == 1
