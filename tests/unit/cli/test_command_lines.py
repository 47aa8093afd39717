"""The parsers of `starlight`, `starlight-exporter` and the scripts."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from starlight_exporter.cli import main as starlight
from starlight_exporter.cli import service
from starlight_exporter.cli.command import Command, script_parser
from starlight_exporter.cli.reference import leaves
from training import train_model

ROOT = Path(__file__).resolve().parents[3]
SCRIPTS = sorted(path for path in (ROOT / "scripts").glob("*.py") if path.stem != "wrapper")
SEEDED = {
    name: starlight.COMMANDS[name]
    for name in ("ablate", "baseline record", "compare", "evaluate", "gate", "study", "variants")
}


def run(*command: object, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*map(str, command)], capture_output=True, text=True, check=False, env=os.environ | environment, timeout=60
    )


@pytest.mark.parametrize("command", [*SEEDED.values(), train_model], ids=[*SEEDED, "train"])
def test_rejects_negative_seed(command: Command, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        script_parser(command, "script.py", ROOT).parse_args(["--seed", "-1"])
    assert ended.value.code == 2
    assert "argument --seed: expected an integer of at least 0, got -1" in capsys.readouterr().err


@pytest.mark.parametrize("words", [[], ["dataset"], ["unknown"], ["gate", "--unknown"]])
def test_incomplete_or_unknown_command_exits_with_2(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert starlight.main(words) == 2
    assert capsys.readouterr().err.startswith("usage: starlight")


@pytest.mark.parametrize("words", [words.split() for words in ("", *starlight.COMMANDS, *starlight.GROUPS)])
def test_every_command_has_help(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert starlight.main([*words, "--help"]) == 0
    assert capsys.readouterr().out.startswith(f"usage: {' '.join(['starlight', *words])}")


def test_versions_are_equal(capsys: pytest.CaptureFixture[str]) -> None:
    assert (starlight.main(["--version"]), service.main(["--version"])) == (0, 0)
    first, second = capsys.readouterr().out.splitlines()
    assert first.split()[1] == second.split()[1]


def test_default_paths_are_relative_to_the_current_directory() -> None:
    options = starlight.build_parser().parse_args(["gate", "--model", "m.onnx", "--dataset", "d"])
    assert options.report_dir == Path("results/regression_reports")
    assert options.models_dir == Path("models")


DOCUMENTS = {
    "ablate --model m --dataset d": ("document", "stream_ablation.md"),
    "compare --baseline a --candidate b --dataset d": ("output", "baseline_comparison.md"),
    "dashboard --prometheus http://127.0.0.1:9090": ("output", "performance_dashboard.md"),
    "variants --dataset d": ("output", "model_variants.md"),
}


@pytest.mark.parametrize("words", DOCUMENTS)
def test_documents_are_written_to_results_unless_docs_are_updated(words: str) -> None:
    parser, (flag, name) = starlight.build_parser(), DOCUMENTS[words]
    assert getattr(parser.parse_args(words.split()), flag) == Path("results", name)
    updated = getattr(parser.parse_args([*words.split(), "--update-docs"]), flag)
    assert updated == Path("docs", "grok", name)
    assert (ROOT / updated).is_file()


@pytest.mark.parametrize("words", DOCUMENTS)
def test_document_has_one_destination(words: str) -> None:
    given = [*words.split(), f"--{DOCUMENTS[words][0]}", "x.md", "--update-docs"]
    assert starlight.main(given) == 2


def test_no_output_is_a_committed_file_by_default() -> None:
    committed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split()
    for parser in leaves(starlight.build_parser()):
        for action in parser._actions:
            if action.dest in ("output", "document", "results", "json", "report_dir", "predictions"):
                assert str(action.default) not in committed, f"{parser.prog}: {action.dest}"


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
@pytest.mark.slow
def test_script_answers_help_without_any_package(script: Path) -> None:
    done = run(sys.executable, "-S", "-E", script, "--help", PYTHONWARNINGS="error")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"usage: {script.name} ")
    assert "exit codes:" in done.stdout


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.name)
def test_script_without_environment_names_the_command_that_creates_it(script: Path, tmp_path: Path) -> None:
    shutil.copytree(script.parent, tmp_path / "scripts")
    done = run(sys.executable, "-S", "-E", tmp_path / "scripts" / script.name)
    assert (done.returncode, done.stdout) == (2, "")
    expected = f"{script.stem}: onnxruntime is not installed; create the environment with ./scripts/setup python\n"
    assert done.stderr == expected


def test_script_continues_in_the_virtual_environment(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "scripts", tmp_path / "scripts")
    python = tmp_path / ".venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text('#!/bin/sh\necho "$@"\nexit 7\n')
    python.chmod(0o755)
    script = tmp_path / "scripts" / "make_dataset.py"
    done = run(sys.executable, script, "--out", "a b")
    assert (done.returncode, done.stdout) == (7, f"{script} --out a b\n")


@pytest.mark.parametrize("name", ["up", "setup", "test"])
def test_shell_script_answers_help_without_building_anything(name: str, tmp_path: Path) -> None:
    for folder in ("exporter", "stack", "scripts"):
        (tmp_path / folder).symlink_to(ROOT / folder)
    python = tmp_path / "python-without-packages"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} -S "$@"\n')
    python.chmod(0o755)
    done = run("bash", tmp_path / "scripts" / name, "--help", PYTHON=str(python))
    assert done.returncode == 0, done.stderr
    assert f"scripts/{name}" in done.stdout
    assert not (tmp_path / ".venv").exists()
