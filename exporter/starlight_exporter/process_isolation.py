"""Restrictions that a worker process applies to itself: end with the parent, memory, network, signals, core files.

Imports only the standard library: a user namespace requires a process without other threads, so these functions are
called before NumPy starts its own.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import resource
import select
import signal
from contextlib import suppress
from pathlib import Path
from typing import Final

GROUP_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
"""Signals that a terminal or a service manager sends to every process of the service."""
NICENESS: Final = 5
"""Scrapes take precedence over evaluations."""

_CLONE_NEWUSER: Final = 0x10000000
_CLONE_NEWNET: Final = 0x40000000
_OOM_SCORE: Final = "800"
"""When memory runs out, the kernel ends a worker before the service."""
_DATA_FACTOR: Final = 4
"""The kernel counts memory that is reserved but never touched; what is touched is supervised by the parent."""


def end_with_parent(descriptor: int) -> None:
    """End this process when the other end of a pipe is closed, even while C code holds the GIL.

    `descriptor` is the reading end of a pipe to which nothing is written. The kernel sends SIGIO at the hang-up, whose
    default action is to terminate the process.
    """
    signal.signal(signal.SIGIO, signal.SIG_DFL)
    fcntl.fcntl(descriptor, fcntl.F_SETOWN, os.getpid())
    fcntl.fcntl(descriptor, fcntl.F_SETFL, fcntl.fcntl(descriptor, fcntl.F_GETFL) | os.O_ASYNC)
    poll = select.poll()
    poll.register(descriptor, 0)
    if poll.poll(0):
        # The parent ended before the signal was requested.
        os._exit(1)


def ignore_group_signals() -> None:
    """Ignore GROUP_SIGNALS: the parent decides when this process ends."""
    for number in GROUP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, GROUP_SIGNALS)


def limit_resources(memory_bytes: int) -> None:
    """Reduce the priority, write no core files, and refuse single allocations far beyond `memory_bytes`.

    The parent supervises the memory, but cannot prevent a single allocation that is larger than the machine.
    """
    os.nice(NICENESS)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    data = _DATA_FACTOR * memory_bytes
    resource.setrlimit(resource.RLIMIT_DATA, (data if hard == resource.RLIM_INFINITY else min(data, hard), hard))
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(_OOM_SCORE)


def leave_network() -> bool:
    """Move this process to an empty network namespace; return False where the system does not allow it.

    Without CAP_SYS_ADMIN, a user namespace is created as well, which requires that no other thread runs.
    """
    user, group = os.getuid(), os.getgid()
    if _unshare(_CLONE_NEWNET):
        return True
    if not _unshare(_CLONE_NEWUSER | _CLONE_NEWNET):
        return False
    # Without a map, the ids are shown as 65534. Access to files does not depend on it.
    with suppress(OSError):
        Path("/proc/self/setgroups").write_text("deny")
        Path("/proc/self/uid_map").write_text(f"{user} {user} 1")
        Path("/proc/self/gid_map").write_text(f"{group} {group} 1")
    return True


def _unshare(flags: int) -> bool:
    try:
        return int(ctypes.CDLL(None).unshare(flags)) == 0
    except (AttributeError, OSError):
        # Another operating system.
        return False
