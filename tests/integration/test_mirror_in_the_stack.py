"""The mirror beside a real exporter, Prometheus and Alertmanager: model changes, silences, an outage."""

from __future__ import annotations

import hashlib
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest
import yaml

from starlight_exporter.markdown.alerts import Episode, with_silences
from support.alertmanager import Alertmanager, alert
from support.exporter import Exporter, write_config
from support.models import write_constant_model
from support.servers import Prometheus, free_port

pytestmark = pytest.mark.integration

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "mirror_dashboard.py"
WAIT = 120.0


@contextmanager
def watching(prometheus: str, output: Path, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as told:
        command = [sys.executable, str(SCRIPT), f"--prometheus={prometheus}", f"--output={output}", "--watch=500ms"]
        process = subprocess.Popen(command, stdout=told, stderr=subprocess.STDOUT)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def wait_for_text(file: Path, text: str) -> None:
    deadline = time.monotonic() + WAIT
    while not (file.exists() and text in file.read_text()):
        assert time.monotonic() < deadline, f"{file}: no {text!r}"
        time.sleep(0.1)


def short(model: Path) -> str:
    return hashlib.sha256(model.read_bytes()).hexdigest()[:12]


def scraping(exporter: Exporter, folder: Path) -> Path:
    config = folder / "prometheus.yml"
    jobs = [{"job_name": "starlight-exporter", "static_configs": [{"targets": [f"127.0.0.1:{exporter.port}"]}]}]
    intervals = {"scrape_interval": "1s", "scrape_timeout": "1s"}
    config.write_text(yaml.safe_dump({"global": intervals, "scrape_configs": jobs}))
    return config


def test_a_changed_model_is_in_the_document_and_one_pass_writes_it(tmp_path: Path) -> None:
    output, log = tmp_path / "out" / "dashboard.md", tmp_path / "mirror.log"
    with Exporter(write_config(tmp_path)) as exporter:
        model = tmp_path / "models" / "model.onnx"
        with Prometheus(scraping(exporter, tmp_path), tmp_path / "tsdb", log=tmp_path / "prometheus.log") as prometheus:
            with watching(prometheus.url, output, log) as process:
                wait_for_text(output, f"`{short(model)}`")
                old = short(model)
                write_constant_model(tmp_path / "new.onnx", logit=4.0).replace(model)
                # Until its evaluation is in, the document says that another file is on disk and keeps the old row.
                wait_for_text(output, f"| `{short(model)}` |")
                assert f"`{old}`" not in output.read_text()
                process.send_signal(signal.SIGTERM)
                assert process.wait(WAIT) == 0
            # Once Prometheus has a model, a single pass writes it.
            write_constant_model(tmp_path / "newer.onnx", logit=-3.0).replace(model)
            prometheus.wait_for_value(f'starlight_evaluation_info{{model_sha256="{short(model)}"}}', timeout=WAIT)
            command = [sys.executable, str(SCRIPT), f"--prometheus={prometheus.url}", f"--output={output}"]
            assert subprocess.run(command, check=False, capture_output=True).returncode == 0
            assert f"| `{short(model)}` |" in output.read_text()


def test_an_outage_is_told_once_and_its_end_too(tmp_path: Path) -> None:
    output, log, port = tmp_path / "dashboard.md", tmp_path / "mirror.log", free_port()
    (tmp_path / "prometheus.yml").write_text("global: {scrape_interval: 15s}\n")
    with watching(f"http://127.0.0.1:{port}", output, log):
        wait_for_text(log, "no answer")
        with Prometheus(tmp_path / "prometheus.yml", tmp_path / "tsdb", log=tmp_path / "p.log", port=port):
            wait_for_text(log, "working again")
            wait_for_text(output, "Not measured")
    lines = log.read_text().splitlines()
    assert "Traceback" not in log.read_text()
    assert lines.index("mirror_dashboard: working again") > 0
    assert len([line for line in lines if str(port) in line and "answer" in line]) <= 2


def test_a_silenced_alert_says_so_and_others_do_not(tmp_path: Path) -> None:
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
        deadline = time.monotonic() + WAIT
        expected = ["firing, silenced", "resolved", "firing", "resolved"]
        while (states := [one.state for one in with_silences(episodes, alertmanager.url)]) != expected:
            assert time.monotonic() < deadline, states
            time.sleep(0.2)
