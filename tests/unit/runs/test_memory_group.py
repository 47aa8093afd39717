"""Memory control groups: the kernel ends a process that exceeds the limit, and no group is left behind."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from starlight_exporter.runs.memory_group import MemoryGroup, _above, _limits_memory, create_memory_group

MIB = 1024 * 1024
WAITS_THEN_ALLOCATES = "import sys; sys.stdin.read(1); data = b'x' * (int(sys.argv[1]) * 2**20); print(len(data))"


def group_of(limit: int) -> MemoryGroup:
    group = create_memory_group(limit)
    if group is None:
        pytest.skip("the system does not allow this process to create control groups")
    return group


def run_in(group: MemoryGroup, megabytes: int) -> int:
    """Return the exit code of a process in the group that allocates memory."""
    command = [sys.executable, "-c", WAITS_THEN_ALLOCATES, str(megabytes)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as process:
        assert group.add(process.pid)
        process.communicate(b"x", timeout=60)
    return process.returncode


def groups() -> set[Path]:
    above = _above()
    assert above is not None
    return set(above[0].glob(f"starlight-worker-{os.getpid()}-*"))


def test_kernel_ends_a_process_that_exceeds_the_limit() -> None:
    # Other tests of this process may run workers.
    others = groups()
    group = group_of(64 * MIB)
    assert run_in(group, 16) == 0
    assert group.kills() == 0
    assert run_in(group, 256) == -9
    assert group.kills() == 1
    group.remove()
    assert groups() <= others


def test_group_that_was_left_behind_is_removed_by_the_next() -> None:
    others = groups()
    group_of(64 * MIB)
    left = groups() - others
    group = group_of(64 * MIB)
    assert not left & groups()
    group.remove()


def test_process_that_has_ended_cannot_be_added() -> None:
    group = group_of(64 * MIB)
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    assert not group.add(process.pid)
    group.remove()


@pytest.mark.parametrize(("enabled", "expected"), [("cpu memory", "cpu memory"), ("cpu", "+memory")])
def test_groups_of_version_2_are_only_created_where_that_is_delegated(
    tmp_path: Path, enabled: str, expected: str
) -> None:
    control = tmp_path / "cgroup.subtree_control"
    control.write_text(enabled)
    assert not _limits_memory(tmp_path)
    assert control.read_text() == enabled
    try:
        os.setxattr(tmp_path, "user.delegate", b"1")
    except OSError:
        pytest.skip("the file system has no extended attributes")
    assert _limits_memory(tmp_path)
    assert control.read_text() == expected
