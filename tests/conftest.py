"""Order of the test files, and fixtures for all tests: shared test data, both Prometheus releases, a small disk."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from support.run_cache import RunCache

_HERE = str(Path(__file__).parent)
if _HERE not in sys.path:
    sys.path.insert(0, _HERE)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Order the files for several workers."""
    from support.file_order import spread_files

    items[:] = spread_files(items)


@pytest.fixture(scope="session")
def run_cache(tmp_path_factory: pytest.TempPathFactory) -> RunCache:
    """Return the cache of test data that all workers of this test run share."""
    from support.run_cache import RunCache

    base = tmp_path_factory.getbasetemp()
    # The temporary directory of an xdist worker is inside the one of the test run.
    return RunCache((base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "run_cache")


@pytest.fixture(params=["installed", "3"])
def release(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run a test with the installed Prometheus, then with Prometheus 3 and its Alertmanager."""
    from support.servers import put_prometheus_3_first

    if request.param == "3":
        put_prometheus_3_first(monkeypatch)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Return a file system of 400 KiB. Skip the test if this process may not mount one."""
    from support.small_disk import small_disk as mounted

    with mounted(tmp_path / "disk", "400k") as disk:
        yield disk
