"""File systems of a limited size."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from support.servers import run_tool


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Path]:
    """Mount a file system of `size` (such as 400k) on a new folder. Skip the test if this process may not mount one."""
    folder.mkdir()
    code, output = run_tool(["mount", "-t", "tmpfs", "-o", f"size={size}", "none", str(folder)])
    if code != 0:
        pytest.skip(f"no file system of a limited size: {output}")
    try:
        yield folder
    finally:
        code, output = run_tool(["umount", str(folder)])
    assert code == 0, output


def remount(folder: Path, option: str) -> None:
    """Make a mounted file system read-only (`ro`), or writable (`rw`). No file may be open for writing."""
    code, output = run_tool(["mount", "-o", f"remount,{option}", str(folder)])
    assert code == 0, output
