"""The markdown dashboard with a real exporter, Prometheus and Alertmanager: model change, silence, outage."""

from __future__ import annotations

import hashlib
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
import yaml

from starlight_exporter.http_client_config import Endpoint
from starlight_exporter.markdown.alerts import Episode, with_silences
from support.alertmanager import Alertmanager, alert
from support.exporter import Exporter, write_config
from support.models import write_constant_model
from support.scripts import run_script
from support.servers import Prometheus, free_port
from support.waiting import wait_until

pytestmark = pytest.mark.integration

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "mirror_dashboard.py"


@contextmanager
def writing_periodically(prometheus: str, output: Path, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as stream:
        command = [sys.executable, str(SCRIPT), f"--prometheus={prometheus}", f"--output={output}", "--watch=500ms"]
        process = subprocess.Popen(command, stdout=stream, stderr=subprocess.STDOUT)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def wait_for_text(file: Path, text: str) -> None:
    wait_until(lambda: file.exists() and text in file.read_text(), f"{text!r} in {file}", timeout=120.0)


def short(model: Path) -> str:
    return hashlib.sha256(model.read_bytes()).hexdigest()[:12]


def scraping(exporter: Exporter, folder: Path) -> Path:
    config = folder / "prometheus.yml"
    jobs = [{"job_name": "starlight-exporter", "static_configs": [{"targets": [f"127.0.0.1:{exporter.port}"]}]}]
    intervals = {"scrape_interval": "1s", "scrape_timeout": "1s"}
    config.write_text(yaml.safe_dump({"global": intervals, "scrape_configs": jobs}))
    return config


def test_changed_model_is_in_the_document(tmp_path: Path) -> None:
    output, log = tmp_path / "out" / "dashboard.md", tmp_path / "writer.log"
    with Exporter(write_config(tmp_path)) as exporter:
        model = tmp_path / "models" / "model.onnx"
        with Prometheus(scraping(exporter, tmp_path), tmp_path / "tsdb", log=tmp_path / "prometheus.log") as prometheus:
            with writing_periodically(prometheus.url, output, log) as process:
                wait_for_text(output, f"`{short(model)}`")
                old = short(model)
                write_constant_model(tmp_path / "new.onnx", logit=4.0).replace(model)
                # Before its evaluation, the document has the old row and mentions the new file on disk.
                wait_for_text(output, f"| `{short(model)}` |")
                assert f"`{old}`" not in output.read_text()
                process.send_signal(signal.SIGTERM)
                assert process.wait(120.0) == 0
            # A single run writes what Prometheus has.
            write_constant_model(tmp_path / "newer.onnx", logit=-3.0).replace(model)
            prometheus.wait_for_value(f'starlight_evaluation_info{{model_sha256="{short(model)}"}}', timeout=120.0)
            given = (f"--prometheus={prometheus.url}", f"--output={output}")
            assert run_script("mirror_dashboard.py", *given).returncode == 0
            assert f"| `{short(model)}` |" in output.read_text()


def test_outage_and_recovery_are_logged_once(tmp_path: Path) -> None:
    output, log, port = tmp_path / "dashboard.md", tmp_path / "writer.log", free_port()
    (tmp_path / "prometheus.yml").write_text("global: {scrape_interval: 15s}\n")
    with writing_periodically(f"http://127.0.0.1:{port}", output, log):
        wait_for_text(log, "is unavailable")
        with Prometheus(tmp_path / "prometheus.yml", tmp_path / "tsdb", log=tmp_path / "p.log", port=port):
            wait_for_text(log, "recovered")
            wait_for_text(output, "Not measured")
    lines = log.read_text().splitlines()
    assert "Traceback" not in log.read_text()
    assert lines.index("mirror_dashboard: recovered") > 0
    assert len([line for line in lines if str(port) in line and "unavailable" in line]) <= 2


def test_only_silenced_alerts_are_marked_as_silenced(tmp_path: Path) -> None:
    config = tmp_path / "alertmanager.yml"
    config.write_text("route: {receiver: none}\nreceivers: [{name: none}]\n")
    with Alertmanager(config, tmp_path / "data", log=tmp_path / "am.log") as alertmanager:
        now = datetime.now(UTC)
        silence = {
            "matchers": [{"name": "alertname", "value": "StarlightLatencyAboveLimit", "isRegex": False}],
            "startsAt": now.isoformat(),
            "endsAt": (now + timedelta(hours=1)).isoformat(),
            "createdBy": "a test",
            "comment": "maintenance",
        }
        assert httpx.post(f"{alertmanager.url}/api/v2/silences", json=silence, timeout=10.0).status_code == 200
        names = ("StarlightLatencyAboveLimit", "StarlightDetectionBelowFloor")
        alertmanager.post(*(alert(name, "warning", model="production") for name in names))
        episodes = [
            Episode(
                name, "warning", {**alert(name, "warning", model="production")["labels"]}, now.timestamp(), None, state
            )
            for name in names
            for state in ("firing", "resolved")
        ]
        expected = ["firing, silenced", "resolved", "firing", "resolved"]
        wait_until(
            lambda: [one.state for one in with_silences(episodes, Endpoint(alertmanager.url))] == expected,
            str(expected),
        )
