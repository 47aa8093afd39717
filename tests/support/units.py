"""Settings of a systemd unit, and a sandbox with those of them that a process can apply without systemd.

`python -m support.units UNIT COMMAND…` executes a command with the unit's filter of system calls and without memory
that is writable and executable.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import pytest

DEPLOY: Final = Path(__file__).resolve().parents[2] / "deploy"
UNIT: Final = DEPLOY / "systemd" / "starlight-exporter.service"

_PR_SET_NO_NEW_PRIVS: Final = 38
_PR_SET_MDWE: Final = 65
_REFUSE_EXEC_GAIN: Final = 1
_ALLOW: Final = 0x7FFF0000
_ERRNO_EPERM: Final = 0x00050001


def settings(unit: Path) -> list[tuple[str, str]]:
    """Return the settings of all sections in order; a name may occur several times."""
    lines = (line.strip() for line in unit.read_text(encoding="utf-8").splitlines())
    return [(name, value) for line in lines if line[:1].isalpha() for name, _, value in [line.partition("=")]]


def values(unit: Path, name: str) -> list[str]:
    """Return the values of a setting."""
    return [value for found, value in settings(unit) if found == name]


def allowed_calls(unit: Path) -> frozenset[str]:
    """Return the system calls that the unit's filters allow."""
    allowed: frozenset[str] = frozenset()
    for value in values(unit, "SystemCallFilter"):
        calls = frozenset().union(*(_calls(name) for name in value.removeprefix("~").split()))
        allowed = allowed - calls if value.startswith("~") else allowed | calls
    # systemd always allows these.
    return allowed | _calls("@default")


def sandboxed(unit: Path, command: Sequence[str]) -> list[str]:
    """Return a command that runs `command` without capabilities in a user namespace and in the sandbox of the unit.

    Skip the test where that is not possible.
    """
    namespace = ["unshare", "--user", "--map-root-user"]
    for program in ("systemd-analyze", "unshare", "setpriv"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} is not installed")
    if subprocess.run([*namespace, "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("user namespaces are not allowed here")
    without = ["setpriv", "--bounding-set=-all", "--inh-caps=-all", "--no-new-privs"]
    return [*namespace, *without, sys.executable, "-m", "support.units", str(unit), *command]


def _calls(name: str) -> frozenset[str]:
    if not name.startswith("@"):
        return frozenset({name})
    command = ["systemd-analyze", "--no-pager", "syscall-filter", name]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    entries = [line.strip() for line in text.splitlines() if line.startswith("    ") and "#" not in line]
    return frozenset().union(*(_calls(entry) for entry in entries))


def _restrict(calls: frozenset[str]) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    # Kernels before 6.3 do not have it.
    libc.prctl(_PR_SET_MDWE, _REFUSE_EXEC_GAIN, 0, 0, 0)
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    library = ctypes.CDLL("libseccomp.so.2")
    library.seccomp_init.restype = ctypes.c_void_p
    context = ctypes.c_void_p(library.seccomp_init(_ERRNO_EPERM))
    for name in sorted(calls):
        number = library.seccomp_syscall_resolve_name(name.encode())
        # Not on this architecture.
        if number >= 0 and library.seccomp_rule_add(context, _ALLOW, number, 0) != 0:
            raise OSError(f"no rule for {name}")
    if library.seccomp_load(context) != 0:
        raise OSError("the filter of system calls was not loaded")


if __name__ == "__main__":
    _restrict(allowed_calls(Path(sys.argv[1])))
    os.execvp(sys.argv[2], sys.argv[2:])
