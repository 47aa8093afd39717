"""`scripts/up` selects containers or processes."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import promql_parser
import pytest
from rich.console import Console

from stack import compose, smoke_test
from stack.arguments import parse_arguments, process_only_flags
from stack.errors import StackError

ENGINE = 'case "$*" in *version*|*info*) exit 0;; esac\nexit 9\n'
NO_ENGINE = "exit 1\n"


def put_program(folder: Path, name: str, body: str) -> None:
    file = folder / name
    file.write_text(f"#!/bin/sh\n{body}")
    file.chmod(0o755)


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


@pytest.mark.usefixtures("path")
def test_no_containers_without_docker() -> None:
    assert compose.command() is None


def test_no_containers_if_the_engine_does_not_answer(path: Path) -> None:
    put_program(path, "docker", NO_ENGINE)
    put_program(path, "docker-compose", ENGINE)
    assert compose.command() is None


def test_prefers_compose_v2(path: Path) -> None:
    put_program(path, "docker", ENGINE)
    put_program(path, "docker-compose", ENGINE)
    assert compose.command() == ("docker", "compose")


def test_uses_docker_compose_without_compose_v2(path: Path) -> None:
    put_program(path, "docker", '[ "$1" = info ]\n')
    assert compose.command() is None
    put_program(path, "docker-compose", ENGINE)
    assert compose.command() == ("docker-compose",)


def test_defaults_need_no_processes() -> None:
    assert process_only_flags(parse_arguments([])) == []
    assert process_only_flags(parse_arguments(["--check"])) == []


def test_reports_flags_that_need_processes(tmp_path: Path) -> None:
    words = ["--model", sys.executable, "--dataset", str(tmp_path), "--prometheus-port", "19090"]
    assert process_only_flags(parse_arguments(words)) == ["--dataset", "--model"]


def test_file_at_the_former_location_needs_processes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("stack.arguments.ROOT", tmp_path)
    (tmp_path / "starlight.yml").touch()
    arguments = parse_arguments([])
    assert arguments.config == tmp_path / "starlight.yml"
    assert process_only_flags(arguments) == ["--config"]


def test_compose_gets_the_ports_of_flags(path: Path) -> None:
    put_program(path, "docker", f'[ "$2" = up ] || exit 0\necho "$STARLIGHT_PROMETHEUS_PORT" > {path}/port; exit 1\n')
    ports = parse_arguments(["--prometheus-port=19090", "--config", __file__]).ports
    with pytest.raises(StackError, match="docker compose up failed"):
        compose.run(("docker", "compose"), ports, Console(quiet=True), check=True)
    assert (path / "port").read_text() == "19090\n"


def test_smoke_test_runs_the_query_of_a_panel() -> None:
    query = smoke_test.panel_query(*smoke_test.PANEL)
    promql_parser.parse(query)
    assert "starlight_false_positive_ratio" in query
    assert not re.search(r"\$", query)
    with pytest.raises(KeyError, match="no panel 'Ghost'"):
        smoke_test.panel_query("overview.json", "Ghost")
