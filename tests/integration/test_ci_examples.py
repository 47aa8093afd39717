"""The script bodies of the CI examples, run as their systems run them: with the wheel, without this repository."""

from __future__ import annotations

import os
import subprocess
import tarfile
from collections.abc import Mapping
from pathlib import Path

import junitparser
import pytest

from starlight_exporter.dataset.layout import scan
from support.ci_examples import github_steps, gitlab_script, settings
from support.images import write_dataset
from support.models import write_constant_model
from support.wheel import build_wheel, create_environment

pytestmark = [pytest.mark.integration, pytest.mark.slow]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_wheel(tmp_path_factory.mktemp("wheel"))


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository whose model classifies every image as stego, and whose baseline classifies every image as clean."""
    folder = tmp_path / "repository"
    (folder / "models" / "production").mkdir(parents=True)
    (folder / "models" / "baseline").mkdir()
    write_constant_model(folder / "models" / "production" / "model.onnx", logit=4.0)
    write_constant_model(folder / "models" / "baseline" / "model.onnx", logit=-4.0)
    return folder


@pytest.fixture
def dataset_tar(tmp_path: Path) -> Path:
    """A tar file with a generated dataset in datasets/reference."""
    images = write_dataset(tmp_path / "original", clean=10, stego=10, negatives=4)
    with tarfile.open(tmp_path / "reference.tar", "w") as file:
        file.add(images, "datasets/reference")
    return tmp_path / "reference.tar"


def variables(name: str, tmp_path: Path, wheel: Path, dataset_tar: Path) -> dict[str, str]:
    """Return the variables of the example, with the wheel, the dataset and its fingerprint of this test."""
    programs = create_environment(tmp_path / "venv")
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "STARLIGHT"))}
    return clean | {
        **settings(name),
        "STARLIGHT": str(wheel),
        "DATASET_URL": dataset_tar.as_uri(),
        "FINGERPRINT": scan("reference", tmp_path / "original").fingerprint,
        "PATH": f"{programs}:{os.environ['PATH']}",
        # The dependencies are there already, and so is the editable installation.
        **{f"PIP_{flag}": "1" for flag in ("NO_DEPS", "NO_INDEX", "IGNORE_INSTALLED", "QUIET")},
    }


def run(script: str, cwd: Path, environment: Mapping[str, str], *flags: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", *flags, "-c", script],
        cwd=cwd,
        env=dict(environment),
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )


def test_github_workflow(tmp_path: Path, wheel: Path, repository: Path, dataset_tar: Path) -> None:
    environment = variables("github.yml", tmp_path, wheel, dataset_tar)
    environment["GITHUB_STEP_SUMMARY"] = str(tmp_path / "summary.md")
    (tmp_path / "summary.md").touch()
    accepted = repository / environment["BASELINE"]
    accepted.parent.mkdir(parents=True)
    write_constant_model(accepted, logit=-4.0)
    *before, gate = github_steps().values()
    for script in before:
        done = run(script, repository, environment, "-e")
        assert done.returncode == 0, done.stderr
    done = run(gate, repository, environment, "-e")
    assert done.returncode == 1, done.stderr
    result = done.stdout.splitlines()[-1]
    assert result.startswith("FAILED ")
    assert (tmp_path / "summary.md").read_text().startswith("## FAILED ")
    assert result in (repository / "gate.html").read_text()
    assert junitparser.JUnitXml.fromfile(str(repository / "gate.xml")).failures
    assert list((repository / ".starlight-cache").rglob("*.planes"))


def test_github_workflow_rejects_another_dataset(
    tmp_path: Path, wheel: Path, repository: Path, dataset_tar: Path
) -> None:
    environment = variables("github.yml", tmp_path, wheel, dataset_tar)
    expected = environment["FINGERPRINT"]
    environment["FINGERPRINT"] = "0" * 64
    steps = github_steps()
    for name in ("Install", "Download the dataset if it is not cached"):
        assert run(steps[name], repository, environment, "-e").returncode == 0
    done = run(steps["Verify the dataset"], repository, environment, "-e")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == f"datasets/reference: expected fingerprint {'0' * 64}, got {expected}\n"


def test_gitlab_jobs(tmp_path: Path, wheel: Path, repository: Path, dataset_tar: Path) -> None:
    environment = variables("gitlab.yml", tmp_path, wheel, dataset_tar)
    environment["CI_MERGE_REQUEST_TARGET_BRANCH_NAME"] = "main"
    identity = ("-c", "user.name=ci", "-c", "user.email=ci@example.com")
    for words in (
        ("init", "--quiet", "--initial-branch=main"),
        ("add", "."),
        (*identity, "commit", "--quiet", "-m", "x"),
    ):
        subprocess.run(["git", *words], cwd=repository, check=True)
    work = tmp_path / "work"
    subprocess.run(["git", "clone", "--quiet", repository, work], check=True)
    # The merge request proposes its own model as baseline, which must not be used.
    write_constant_model(work / "models" / "baseline" / "model.onnx", logit=4.0)
    for job, code in (("dataset", 0), ("gate", 1)):
        done = run(gitlab_script(job), work, environment, "-e", "-o", "pipefail")
        assert done.returncode == code, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1].startswith("FAILED ")
    assert "fpr_baseline 100.00% (limit 0%, 10 of 10)" in done.stdout.splitlines()[-1]
    assert junitparser.JUnitXml.fromfile(str(work / "gate.xml")).failures
    assert (work / "gate.html").is_file()
