"""A virtual environment that contains the wheel, outside the repository."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PIP = (sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check")


def build_wheel(folder: Path) -> Path:
    """Build the wheel of the repository without network access."""
    call(*PIP, "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", folder, ROOT, cwd=folder)
    (wheel,) = folder.glob("starlight_exporter-*.whl")
    return wheel


def create_environment(folder: Path, wheel: Path | None = None) -> Path:
    """Create a virtual environment, install the wheel if one is given, and return its `bin`.

    The dependencies, and pip, come from the environment of the tests.
    """
    venv.create(folder, with_pip=False)
    programs = folder / "bin"
    if wheel is not None:
        # First: pip would find the editable installation among the dependencies, and install nothing.
        call(*PIP, "--python", programs / "python", "install", "--no-deps", wheel, cwd=folder)
    site_packages = next((folder / "lib").glob("python*")) / "site-packages"
    # Path entries of a .pth file are added without their own .pth files, so the editable installation is not visible.
    (site_packages / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return programs


def call(
    *command: object, cwd: Path, code: int = 0, variables: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command without the repository on Python's path."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [*map(str, command)],
        cwd=cwd,
        env=environment | dict(variables or {}),
        capture_output=True,
        text=True,
        check=False,
        timeout=240,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done
