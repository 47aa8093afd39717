"""Makes `support` importable, the helpers of several rooms; and tries tests on two releases of Prometheus."""

from __future__ import annotations

import sys
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
