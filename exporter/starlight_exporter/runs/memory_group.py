"""A memory control group for each worker process, where the system allows this process to create one.

Version 1: below the group of this process. Version 2: next to it, because a group with processes has no limited groups
below it, and only where the group above has been delegated (systemd: `Delegate=` and `DelegateSubgroup=`). Containers
usually mount the file system of control groups read-only. Source: Linux, Documentation/admin-guide/cgroup-v1/memory.rst
and cgroup-v2.rst; systemd, Control Group APIs and Delegation.
"""

from __future__ import annotations

import itertools
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Final

_PREFIX: Final = "starlight-worker-"
_DELEGATED: Final = ("user.delegate", "trusted.delegate")
_numbers = itertools.count(1)


@dataclass(frozen=True, slots=True)
class _Version:
    """Names of the files of a group: its limit, those of swap with their value, and where kills are counted."""

    limit: str
    swap: str
    swap_is_total: bool
    events: str


_V1: Final = _Version("memory.limit_in_bytes", "memory.memsw.limit_in_bytes", True, "memory.oom_control")
_V2: Final = _Version("memory.max", "memory.swap.max", False, "memory.events")


class MemoryGroup:
    """A control group with a memory limit. The kernel ends the processes in it that exceed the limit."""

    def __init__(self, folder: Path, version: _Version) -> None:
        self._folder = folder
        self._version = version

    def add(self, pid: int) -> bool:
        """Move a process to the group; return whether that was possible."""
        try:
            (self._folder / "cgroup.procs").write_text(str(pid))
        except OSError:
            return False
        return True

    def kills(self) -> int:
        """Return the number of processes that the kernel has ended because of the limit."""
        with suppress(OSError):
            for line in (self._folder / self._version.events).read_text().splitlines():
                if line.startswith("oom_kill "):
                    return int(line.split()[1])
        return 0

    def remove(self) -> None:
        """Remove the group, whose processes have ended."""
        with suppress(OSError):
            self._folder.rmdir()


def create_memory_group(limit: int) -> MemoryGroup | None:
    """Create a group with a limit in bytes for memory and swap together; None if the system does not allow it.

    Groups that a killed exporter left behind are removed.
    """
    try:
        found = _above()
        if found is None:
            return None
        above, version = found
        for other in above.glob(f"{_PREFIX}*"):
            # Fails while the group has processes.
            with suppress(OSError):
                other.rmdir()
        folder = above / f"{_PREFIX}{os.getpid()}-{next(_numbers)}"
        folder.mkdir()
    except (OSError, ValueError):
        # ValueError: a line of an unknown form.
        return None
    group = MemoryGroup(folder, version)
    try:
        (folder / version.limit).write_text(str(limit))
    except OSError:
        group.remove()
        return None
    # Missing where the kernel does not count swap.
    with suppress(OSError):
        (folder / version.swap).write_text(str(limit if version.swap_is_total else 0))
    return group


def _above() -> tuple[Path, _Version] | None:
    """Return the folder in which groups can be created. Raise OSError if the files cannot be read."""
    groups = dict(_groups(Path("/proc/self/cgroup").read_text()))
    for mount in Path("/proc/self/mountinfo").read_text().splitlines():
        fields, _, kind = mount.partition(" - ")
        root, point = (PurePosixPath(field) for field in fields.split()[3:5])
        file_system, _, options = kind.split(" ", 2)
        if file_system == "cgroup" and "memory" in options.split(",") and "memory" in groups:
            own = _folder(groups["memory"], root, Path(point))
            # Otherwise a limit of the groups above would not apply to the worker.
            return (own, _V1) if (own / "memory.use_hierarchy").read_text().strip() == "1" else None
        if file_system == "cgroup2" and "" in groups:
            own = _folder(groups[""], root, Path(point))
            if own != Path(point) and _limits_memory(own.parent):
                return own.parent, _V2
    return None


def _groups(text: str) -> list[tuple[str, PurePosixPath]]:
    """Return the groups of a process by controller; the controller of version 2 is empty."""
    lines = (line.split(":", 2) for line in text.splitlines())
    return [(name, PurePosixPath(path)) for _, controllers, path in lines for name in controllers.split(",")]


def _folder(group: PurePosixPath, root: PurePosixPath, point: Path) -> Path:
    """Return the folder of a group below a mount point that shows the hierarchy from `root`."""
    return point / group.relative_to(root) if group.is_relative_to(root) else point


def _limits_memory(folder: Path) -> bool:
    """Return whether a delegated group limits the memory of the groups in it, after enabling that where necessary."""
    if not any(_attribute(folder, name) == b"1" for name in _DELEGATED):
        return False
    enabled = folder / "cgroup.subtree_control"
    if "memory" not in enabled.read_text().split():
        enabled.write_text("+memory")
    return True


def _attribute(folder: Path, name: str) -> bytes:
    try:
        return os.getxattr(folder, name)
    except OSError:
        return b""
