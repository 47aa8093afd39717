"""The wheel, installed outside the repository: both commands work without a checkout."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import httpx
import pytest

from support.exporter import write_config
from support.servers import Server, free_port, program

pytestmark = [pytest.mark.integration, pytest.mark.slow]

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment that contains the wheel; its dependencies come from the environment of the tests."""
    folder = tmp_path_factory.mktemp("wheel")
    pip = (sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check")
    call(*pip, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", folder, ROOT, cwd=folder)
    (wheel,) = folder.glob("starlight_exporter-*.whl")
    venv.create(folder / "venv", with_pip=False)
    call(*pip, "--python", folder / "venv" / "bin" / "python", "install", "--no-deps", wheel, cwd=folder)
    site_packages = next((folder / "venv" / "lib").glob("python*")) / "site-packages"
    # Path entries of a .pth file are added without their own .pth files, so the editable installation is not visible.
    (site_packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder / "venv" / "bin"


def call(*command: object, cwd: Path, code: int = 0) -> subprocess.CompletedProcess[str]:
    """Run a command without the repository on Python's path."""
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [*map(str, command)], cwd=cwd, env=variables, capture_output=True, text=True, check=False, timeout=240
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done


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
        assert runbook.text == (ROOT / "alerting" / "runbooks" / "StarlightExporterDown.md").read_text()


def test_gate_writes_its_report_to_the_current_folder(environment: Path, tmp_path: Path) -> None:
    write_config(tmp_path)
    (tmp_path / "baseline.json").write_text('{"detection_rates": {"lsb": 90.0}}')
    done = call(
        *(environment / "starlight", "gate", "--model", "models/model.onnx", "--dataset", "images"),
        *("--baseline", "baseline.json", "--latency-sample", "0"),
        cwd=tmp_path,
        code=1,
    )
    (report,) = (tmp_path / "results" / "regression_reports").glob("*.json")
    assert f"report: {report.relative_to(tmp_path)}" in done.stdout


def test_exported_rules_are_valid(environment: Path, tmp_path: Path) -> None:
    call(environment / "starlight", "assets", "export", "out", cwd=tmp_path)
    rules = sorted((tmp_path / "out" / "prometheus" / "rules").glob("*.yml"))
    assert [file.name for file in rules] == sorted(file.name for file in (ROOT / "prometheus" / "rules").iterdir())
    call(program("promtool"), "check", "rules", *rules, cwd=tmp_path)
    call(program("promtool"), "check", "config", tmp_path / "out" / "prometheus" / "prometheus.yml", cwd=tmp_path)
