"""A running exporter whose model gets other execution providers: it is evaluated again, or reported as not loadable."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import httpx
import pytest

from support.exporter import Exporter, write_config

pytestmark = [pytest.mark.integration, pytest.mark.slow]

CPU = {"execution_provider": "CPUExecutionProvider"}
# In every build of ONNX Runtime for Linux.
AZURE = {"execution_provider": "AzureExecutionProvider"}


def configure(folder: Path, *providers: str) -> Path:
    model: dict[str, Any] = {"name": "production", "file": "models/model.onnx", "role": "production"}
    if providers:
        model["providers"] = [{"name": name} for name in providers]
    return write_config(folder, models=[model], latency={"sample": 0})


def reload(exporter: Exporter) -> None:
    httpx.post(f"{exporter.url}/-/reload", timeout=60.0).raise_for_status()


def test_changed_providers_start_an_evaluation_and_a_missing_one_is_reported(tmp_path: Path) -> None:
    with Exporter(configure(tmp_path)) as exporter:
        exporter.wait_for_value(1.0, "evaluation_execution_info", **CPU)
        images = exporter.value("clean_images")
        assert exporter.value("evaluation_staged") is not None

        configure(tmp_path, "AzureExecutionProvider")
        reload(exporter)
        exporter.wait_for_value(1.0, "evaluation_execution_info", **AZURE)
        assert exporter.value("evaluation_execution_info", **CPU) is None
        assert exporter.value("evaluation_staged") == 0.0

        configure(tmp_path, "OpenVINOExecutionProvider")
        reload(exporter)
        exporter.wait_for_value(1.0, "model_load_failures_total", reason="provider")
        assert exporter.value("model_last_load_successful") == 0.0
        status = httpx.get(f"{exporter.url}/", headers={"Accept": "text/html"}, timeout=60.0).text
        assert "OpenVINOExecutionProvider is not in the installed ONNX Runtime" in status

        configure(tmp_path, "openvino")
        assert httpx.post(f"{exporter.url}/-/reload", timeout=60.0).status_code == 500
        assert exporter.value("exporter_config_last_reload_successful") == 0.0

        configure(tmp_path)
        reload(exporter)
        exporter.wait_for_value(1.0, "evaluation_execution_info", **CPU)
        assert exporter.value("clean_images") == images
        assert exporter.value("model_last_load_successful") == 1.0
