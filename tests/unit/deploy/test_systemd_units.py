"""The systemd unit: valid, confined, with flags and limits of the exporter."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from starlight_exporter.cli.service import build_parser
from starlight_exporter.evaluation.request import DEFAULT_WORKER_MEMORY
from starlight_exporter.exit_codes import NOT_MEASURED
from support.units import DEPLOY, UNIT, settings, values

EXPOSURE = 20
"""Ten times the highest exposure level of `systemd-analyze security`; the unit has 1.6."""


def analyze(tmp_path: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run systemd-analyze on the unit, with a program that exists."""
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    unit = tmp_path / UNIT.name
    unit.write_text(UNIT.read_text().replace("/opt/starlight/bin/starlight-exporter", "/bin/true"))
    command = ["systemd-analyze", "--no-pager", *words, str(unit)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_unit_is_valid(tmp_path: Path) -> None:
    done = analyze(tmp_path, "verify")
    assert done.returncode == 0, done.stderr
    # Ignored before systemd 254, as its comment states.
    assert [line for line in done.stderr.splitlines() if UNIT.name in line and "DelegateSubgroup" not in line] == []


def test_unit_is_confined(tmp_path: Path) -> None:
    done = analyze(tmp_path, "security", "--offline=yes", f"--threshold={EXPOSURE}")
    assert done.returncode == 0, done.stdout


def test_setting_without_effect_is_found(tmp_path: Path) -> None:
    done = analyze(tmp_path, "security", "--offline=yes", "--threshold=5")
    assert done.returncode != 0, "the threshold is checked"


def test_command_line_has_flags_of_the_exporter() -> None:
    (line,) = values(UNIT, "ExecStart")
    program, *words = shlex.split(line)
    assert program == "/opt/starlight/bin/starlight-exporter"
    options = build_parser().parse_args([word for word in words if word != "$ARGS"])
    assert options.config_file == Path("/etc/starlight/starlight.yml")
    assert options.listen_address.startswith("127.0.0.1:")
    assert not options.lifecycle


def test_memory_holds_the_worker_and_files() -> None:
    (limit,) = values(UNIT, "MemoryMax")
    assert limit == "3G"
    assert DEFAULT_WORKER_MEMORY <= 3 * 1024**3 // 2


def test_sandbox_leaves_what_workers_need() -> None:
    found = dict(settings(UNIT))
    # Their network namespace, their control groups, and /proc/cpuinfo.
    assert found["RestrictNamespaces"] == "user net"
    assert found["Delegate"] == "memory"
    assert {"ProtectControlGroups", "ProcSubset"}.isdisjoint(found)
    assert found["OOMPolicy"] == "continue"
    assert int(found["RestartPreventExitStatus"]) == NOT_MEASURED


def test_user_of_the_unit_is_created(tmp_path: Path) -> None:
    if shutil.which("systemd-sysusers") is None:
        pytest.skip("systemd-sysusers is not installed")
    (tmp_path / "etc").mkdir()
    file = DEPLOY / "systemd" / "starlight.sysusers.conf"
    subprocess.run(["systemd-sysusers", f"--root={tmp_path}", str(file)], check=True, capture_output=True)
    users = [line.split(":") for line in (tmp_path / "etc" / "passwd").read_text().splitlines()]
    (user,) = values(UNIT, "User")
    assert [(one[0], one[5], one[6]) for one in users] == [(user, "/var/lib/starlight", "/usr/sbin/nologin")]
