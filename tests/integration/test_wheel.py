"""The wheel, installed outside the repository: both commands work without a checkout."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from support.exporter import write_config
from support.servers import Server, free_port, program
from support.wheel import build_wheel, call, create_environment

pytestmark = [pytest.mark.integration, pytest.mark.slow]

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment that contains the wheel; its dependencies come from the environment of the tests."""
    folder = tmp_path_factory.mktemp("wheel")
    return create_environment(folder / "venv", build_wheel(folder))


def test_package_is_imported_from_the_wheel(environment: Path, tmp_path: Path) -> None:
    code = "import starlight_exporter; print(starlight_exporter.__file__)"
    done = call(environment / "python", "-c", code, cwd=tmp_path)
    assert Path(done.stdout.strip()).is_relative_to(environment.parent)


def test_help_lists_the_commands(environment: Path, tmp_path: Path) -> None:
    done = call(environment / "starlight", "--help", cwd=tmp_path)
    for command in ("evaluate", "gate", "compare", "assets"):
        assert command in done.stdout
    call(environment / "starlight-exporter", "--help", cwd=tmp_path)


def test_service_serves_pages_and_runbooks(environment: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYTHONPATH", raising=False)
    port = free_port()
    command = [
        str(environment / "starlight-exporter"),
        f"--config.file={write_config(tmp_path)}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with Server(command, port=port, ready_path="/-/healthy", log=tmp_path / "exporter.log") as server:
        server.wait_ready()
        page = httpx.get(f"{server.url}/", headers={"Accept": "text/html"}).raise_for_status()
        assert "<html" in page.text
        assert httpx.get(f"{server.url}/static/style.css").status_code == 200
        runbook = httpx.get(f"{server.url}/runbooks/StarlightExporterDown.md").raise_for_status()
        shipped = (ROOT / "alerting" / "runbooks" / "StarlightExporterDown.md").read_text()
        assert runbook.text == shipped.replace("http://127.0.0.1:9877", server.url)
        assert "<h1>StarlightExporterDown</h1>" in httpx.get(runbook.url, headers={"Accept": "text/html"}).text


def test_gate_needs_no_checkout(environment: Path, tmp_path: Path) -> None:
    write_config(tmp_path)
    (tmp_path / "baseline.json").write_text('{"detection_rates": {"lsb": 90.0}}')
    given = (environment / "starlight", "gate", "--model", "models/model.onnx", "--dataset", "images")
    refused = call(*given, "--latency-sample", "0", cwd=tmp_path, code=2)
    assert "no baseline for fpr_baseline" in refused.stderr
    reports = ("--junit", "junit.xml", "--html", "gate.html", "--markdown", "summary.md")
    done = call(*given, "--baseline", "baseline.json", "--latency-sample", "0", *reports, cwd=tmp_path, code=1)
    (report,) = (tmp_path / "results" / "regression_reports").glob("*.json")
    *_, written, result = done.stdout.splitlines()
    assert written == f"report: {report.relative_to(tmp_path)}"
    assert result.startswith("FAILED ")
    assert f"<title>{result}" in (tmp_path / "gate.html").read_text()


def test_exported_rules_are_valid(environment: Path, tmp_path: Path) -> None:
    call(environment / "starlight", "assets", "export", "out", cwd=tmp_path)
    rules = sorted((tmp_path / "out" / "prometheus" / "rules").glob("*.yml"))
    assert [file.name for file in rules] == sorted(file.name for file in (ROOT / "prometheus" / "rules").iterdir())
    call(program("promtool"), "check", "rules", *rules, cwd=tmp_path)
    call(program("promtool"), "check", "config", tmp_path / "out" / "prometheus" / "prometheus.yml", cwd=tmp_path)


def test_exported_chart_contains_rules_and_dashboards(environment: Path, tmp_path: Path) -> None:
    """They are links in the repository."""
    call(environment / "starlight", "assets", "export", "out", cwd=tmp_path)
    chart = tmp_path / "out" / "deploy" / "helm" / "starlight-exporter"
    assert (chart / "templates" / "_helpers.tpl").is_file()
    for folder in (Path("prometheus", "rules"), Path("grafana", "dashboards")):
        copied = {file.name: file.read_bytes() for file in (chart / "files" / folder.name).iterdir()}
        assert copied == {file.name: file.read_bytes() for file in (ROOT / folder).iterdir()}
