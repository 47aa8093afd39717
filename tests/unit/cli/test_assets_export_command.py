"""`starlight assets export` from a checkout."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from starlight_exporter.asset_files import assets_folder, exported_files
from starlight_exporter.cli import main as starlight
from support.rules import RULE_LIST
from support.servers import program

ROOT = Path(__file__).resolve().parents[3]


RULES = sorted((ROOT / "prometheus" / "rules").glob("*.yml"))


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder of PATH, which is empty."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


def test_exports_every_file_unchanged(tmp_path: Path, capsys: pytest.CaptureFixture[str], programs: Path) -> None:
    assert not list(programs.iterdir())
    assert starlight.main(["assets", "export", str(tmp_path / "out")]) == 0
    files = list(exported_files())
    assert capsys.readouterr().out == (
        f"{tmp_path / 'out'}: {len(files)} files written\npromtool is not installed: the rules were not checked\n"
    )
    for file in files:
        assert (tmp_path / "out" / file).read_bytes() == (ROOT / file).read_bytes()
    # A second export finds the same contents.
    assert starlight.main(["assets", "export", str(tmp_path / "out")]) == 0


def test_installed_promtool_checks_all_rules(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    program("promtool")
    assert starlight.main(["assets", "export", str(tmp_path)]) == 0
    checked = f"promtool: {len(RULE_LIST)} rules in {len(RULES)} files are valid"
    assert capsys.readouterr().out.splitlines()[1:] == [checked]


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("#!/bin/sh\necho 'unknown function' >&2\nexit 1\n", "rejects the rules:\nunknown function\n"),
        ("#!/no/such/shell\n", ": the rules were not checked: [Errno 2] No such file or directory: "),
    ],
)
def test_failure_of_promtool_is_reported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], programs: Path, script: str, reason: str
) -> None:
    promtool = programs / "promtool"
    promtool.write_text(script)
    promtool.chmod(0o755)
    assert starlight.main(["assets", "export", str(tmp_path / "out")]) == 1
    output = capsys.readouterr()
    assert output.out.endswith(" files written\n")
    assert output.err.startswith(str(promtool))
    assert reason in output.err


def test_exports_all_rules_dashboards_runbooks_and_templates() -> None:
    exported = {str(file) for file in exported_files()}
    folders = ("prometheus/rules", "alerting/runbooks", "alerting/templates", "grafana/dashboards")
    expected = {str(file.relative_to(ROOT)) for folder in folders for file in (ROOT / folder).iterdir()}
    assert expected <= exported
    assert {"prometheus/prometheus.yml", "alerting/alertmanager.yml"} <= exported


def test_wheel_includes_every_exported_file() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    included = settings["force-include"]
    for source, target in included.items():
        assert target == f"starlight_exporter/assets/{source}"
    for file in exported_files():
        assert any(Path(source) in (file, *file.parents) for source in included), file


def test_does_not_overwrite_changed_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    changed = tmp_path / "prometheus" / "rules" / "detection.yml"
    changed.parent.mkdir(parents=True)
    changed.write_text("groups: []\n")
    assert starlight.main(["assets", "export", str(tmp_path)]) == 2
    error = f"{changed}: exists with other contents; nothing was written, choose another folder"
    assert capsys.readouterr().err == f"starlight assets export: {error}\n"
    assert [file for file in tmp_path.rglob("*") if file.is_file()] == [changed]


def test_reports_a_target_that_is_not_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").write_text("")
    assert starlight.main(["assets", "export", str(tmp_path / "file")]) == 2
    assert "Not a directory" in capsys.readouterr().err


def test_checkout_is_the_source_without_packaged_assets() -> None:
    assert assets_folder() == ROOT
