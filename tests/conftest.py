"""Makes `support` importable; tries tests on two releases of Prometheus, and on a disk that is soon full."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

_HERE = str(Path(__file__).parent)
if _HERE not in sys.path:
    sys.path.insert(0, _HERE)


@pytest.fixture(params=["installed", "3"])
def release(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A test is tried on what is installed, then on Prometheus 3 and its Alertmanager."""
    from support.servers import put_prometheus_3_first

    if request.param == "3":
        put_prometheus_3_first(monkeypatch)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 400 KiB, where this process may mount one."""
    from support.servers import run_tool

    disk = tmp_path / "disk"
    disk.mkdir()
    code, told = run_tool(["mount", "-t", "tmpfs", "-o", "size=400k", "none", str(disk)])
    if code != 0:
        pytest.skip(f"no file system of a limited size: {told}")
    yield disk
    assert run_tool(["umount", str(disk)])[0] == 0
