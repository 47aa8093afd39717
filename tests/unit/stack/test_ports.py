"""Ports of the stack: from flags, variables and compose's `.env` file, for containers and processes alike."""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import pytest

from stack import smoke_test
from stack.arguments import parse_arguments, process_only_flags
from stack.ports import SHIPPED, Ports, read_variables, variable


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in SHIPPED.by_service():
        monkeypatch.delenv(variable(name), raising=False)
    monkeypatch.setattr("stack.arguments.ROOT", tmp_path)


def ports(*words: str) -> Ports:
    """Return the ports of a command line."""
    found: Ports = parse_arguments(["--config", __file__, *words]).ports
    return found


def test_shipped_ports_are_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    assert ports() == SHIPPED
    monkeypatch.setenv("STARLIGHT_EXPORTER_PORT", "")
    assert ports() == SHIPPED


def test_variables_select_ports_and_flags_win(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STARLIGHT_EXPORTER_PORT", "19877")
    monkeypatch.setenv("STARLIGHT_GRAFANA_PORT", "13000")
    assert ports() == replace(SHIPPED, exporter=19877, grafana=13000)
    assert ports("--exporter-port=29877") == replace(SHIPPED, exporter=29877, grafana=13000)


def test_env_file_of_compose_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".env").write_text(
        "# STARLIGHT_GRAFANA_PORT=1\nOTHER=2\nSTARLIGHT_EXPORTER_PORT=19877\n"
        "export STARLIGHT_PROMETHEUS_PORT='19090'  # in use\nSTARLIGHT_ALERTMANAGER_PORT=\"19093\"\n"
    )
    expected = replace(SHIPPED, exporter=19877, prometheus=19090, alertmanager=19093)
    assert ports() == expected
    monkeypatch.setenv("STARLIGHT_EXPORTER_PORT", "29877")
    assert ports() == replace(expected, exporter=29877)
    assert read_variables(tmp_path / "missing", {}) == {}


@pytest.mark.parametrize("text", ["0", "65536", "-1", "9090x", "1e3", " 9090", "٩٠٩٠"])
def test_rejects_an_invalid_port(
    text: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    problem = f"expected a port from 1 to 65535, got {text!r}"
    with pytest.raises(SystemExit) as flag:
        ports(f"--prometheus-port={text}")
    assert flag.value.code == 2
    assert capsys.readouterr().err.endswith(f"argument --prometheus-port: {problem}\n")
    monkeypatch.setenv("STARLIGHT_PROMETHEUS_PORT", text)
    with pytest.raises(SystemExit) as environment:
        ports()
    assert environment.value.code == 2
    assert capsys.readouterr().err.endswith(f"error: STARLIGHT_PROMETHEUS_PORT: {problem}\n")


def test_rejects_a_port_of_two_services(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        ports("--exporter-port=9090")
    assert "port 9090: chosen for both exporter and prometheus" in capsys.readouterr().err


def test_containers_use_the_ports_of_flags() -> None:
    arguments = parse_arguments(["--prometheus-port=19090", "--config", __file__])
    assert process_only_flags(arguments) == ["--config"]
    assert arguments.ports.environment()["STARLIGHT_PROMETHEUS_PORT"] == "19090"


def test_smoke_test_reports_an_invalid_variable(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    docker = tmp_path / "docker"
    docker.write_text("#!/bin/sh\nexit 0\n")
    docker.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("STARLIGHT_GRAFANA_PORT", "grafana")
    options = smoke_test_options()
    assert smoke_test.run(options) == 2
    assert "STARLIGHT_GRAFANA_PORT: expected a port" in capsys.readouterr().err


def smoke_test_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    smoke_test.add_arguments(parser, Path())
    return parser.parse_args([], argparse.Namespace(name="smoke_compose"))
