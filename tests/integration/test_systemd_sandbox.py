"""The exporter evaluates within the sandbox of its systemd unit: system calls, memory, no capabilities."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from support.exporter import exporter_command, write_config
from support.servers import Server, free_port
from support.units import UNIT, sandboxed
from support.waiting import wait_until

pytestmark = [pytest.mark.integration, pytest.mark.slow]


def test_evaluates_with_an_isolated_network(tmp_path: Path) -> None:
    config, port = write_config(tmp_path), free_port()
    command = sandboxed(UNIT, exporter_command(config, port))
    environment = {"PYTHONPATH": ":".join(str(Path(__file__).parents[n] / name) for n, name in PATHS)}
    with Server(command, port=port, ready_path="/-/healthy", log=tmp_path / "log", environment=environment) as exporter:
        exporter.wait_ready()

        def metrics() -> str | None:
            text = httpx.get(f"{exporter.url}/metrics").text
            return text if "starlight_false_positive_ratio{" in text else None

        text = wait_until(metrics, lambda: f"a result\n{exporter.log.read_text()[-3000:]}")
        assert "\nstarlight_worker_network_isolated 1.0" in text
        assert (tmp_path / "data" / "history.jsonl").stat().st_size > 0
        page = httpx.get(f"{exporter.url}/evaluations/latest?model=production&dataset=small", follow_redirects=True)
        assert page.status_code == 200
        # Images are decoded by another worker.
        shown = httpx.get(f"{page.url}/images/0/pixel.png")
        assert (shown.status_code, shown.headers["Content-Type"]) == (200, "image/png")
        log = exporter.log.read_text()
        assert "Operation not permitted" not in log
        assert "level=error" not in log
    assert exporter.stop() == 0


PATHS = ((2, "exporter"), (2, "."), (1, "."))
