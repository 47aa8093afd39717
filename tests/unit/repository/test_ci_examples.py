"""The CI examples match the schemas of their systems, and agree with each other and with the commands."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

import starlight_exporter
from starlight_exporter.cli.main import build_parser
from support.ci_examples import github_steps, gitlab_script

ROOT = Path(__file__).resolve().parents[3]
EXAMPLES = ROOT / "docs" / "examples" / "ci"
SCHEMAS = {
    EXAMPLES / "github.yml": "vendor.github-workflows",
    EXAMPLES / "gitlab.yml": "vendor.gitlab-ci",
    ROOT / ".github" / "workflows" / "test.yml": "vendor.github-workflows",
}


def check(file: Path, schema: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema, str(file)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.slow
@pytest.mark.parametrize("file", SCHEMAS, ids=lambda file: file.name)
def test_example_matches_the_schema(file: Path) -> None:
    done = check(file, SCHEMAS[file])
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_schema_rejects_an_unknown_key(tmp_path: Path) -> None:
    content = yaml.safe_load((EXAMPLES / "github.yml").read_text())
    content["jobs"]["gate"]["step"] = content["jobs"]["gate"].pop("steps")
    (tmp_path / "gate.yml").write_text(yaml.safe_dump(content))
    assert check(tmp_path / "gate.yml", "vendor.github-workflows").returncode == 1


def test_every_command_in_the_examples_parses() -> None:
    scripts = "\n".join([*github_steps().values(), gitlab_script("gate"), *documented_commands()])
    commands = re.findall(r"starlight ((?:gate|dataset fingerprint) [^)]*?)(?:\)|$)", scripts, re.MULTILINE)
    assert len(commands) >= 5
    for command in commands:
        build_parser().parse_args(shlex.split(command.replace("…", "--model m --dataset d").partition("|")[0]))


def documented_commands() -> list[str]:
    """Return the shell commands of docs/ci.md, each on one line."""
    blocks = re.findall(r"```sh\n(.*?)```", (ROOT / "docs" / "ci.md").read_text(), re.DOTALL)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    return [line.replace("starlight-observability:0.2.0   gate", "starlight gate") for line in lines]


def test_examples_have_the_same_settings() -> None:
    github = yaml.safe_load((EXAMPLES / "github.yml").read_text())["env"]
    gitlab = yaml.safe_load((EXAMPLES / "gitlab.yml").read_text())["variables"]
    assert github == gitlab | {"BASELINE": f"accepted/{gitlab['BASELINE']}"}
    assert github["STARLIGHT"].endswith(f"/starlight_exporter-{starlight_exporter.__version__}-py3-none-any.whl")
