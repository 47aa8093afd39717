"""Containers or processes: what scripts/up takes, and that it says why."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import promql_parser
import pytest

from stack import __main__ as up
from stack import compose, smoke_test

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
def test_without_docker_there_are_no_containers() -> None:
    assert compose.command() is None


def test_a_docker_whose_engine_does_not_answer_means_processes(path: Path) -> None:
    put_program(path, "docker", NO_ENGINE)
    put_program(path, "docker-compose", ENGINE)
    assert compose.command() is None


def test_compose_v2_is_taken_before_the_older_program(path: Path) -> None:
    put_program(path, "docker", ENGINE)
    put_program(path, "docker-compose", ENGINE)
    assert compose.command() == ("docker", "compose")


def test_the_older_program_is_taken_where_docker_has_no_compose(path: Path) -> None:
    put_program(path, "docker", '[ "$1" = info ]\n')
    assert compose.command() is None
    put_program(path, "docker-compose", ENGINE)
    assert compose.command() == ("docker-compose",)


def test_plain_up_has_no_flag_that_needs_processes() -> None:
    assert up.flags_for_processes(up.parse_arguments([])) == []
    assert up.flags_for_processes(up.parse_arguments(["--check"])) == []


def test_flags_that_need_processes_are_named(tmp_path: Path) -> None:
    words = ["--model", sys.executable, "--dataset", str(tmp_path), "--prometheus-port", "19090"]
    assert up.flags_for_processes(up.parse_arguments(words)) == ["--dataset", "--model", "--prometheus-port"]


def test_the_smoke_check_asks_what_a_panel_asks() -> None:
    query = smoke_test.panel_query(*smoke_test.PANEL)
    promql_parser.parse(query)
    assert "starlight_false_positive_ratio" in query
    assert not re.search(r"\$", query)
    with pytest.raises(KeyError, match="no panel 'Ghost'"):
        smoke_test.panel_query("overview.json", "Ghost")
