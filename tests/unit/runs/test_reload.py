"""Reload: files are read without a lock, and the configuration that was read last becomes active."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from starlight_exporter.config import Config
from starlight_exporter.runs import file_changes
from starlight_exporter.runs.discovery import Discovery, discover
from support.waiting import wait_until
from support.web import idle_application


class HangingDiscovery:
    """Discovery of research models that does not respond at the first call until it is released."""

    def __init__(self) -> None:
        self.released = threading.Event()
        self.calls = 0

    def __call__(self, config: Config) -> Discovery:
        self.calls += 1
        if self.calls == 1:
            assert self.released.wait(30)
        return discover(config)


@pytest.fixture
def hanging(monkeypatch: pytest.MonkeyPatch) -> HangingDiscovery:
    discovery = HangingDiscovery()
    monkeypatch.setattr(file_changes, "discover", discovery)
    return discovery


def test_folder_that_does_not_respond_does_not_block_later_reloads(tmp_path: Path, hanging: HangingDiscovery) -> None:
    application = idle_application(tmp_path)
    first = threading.Thread(target=application.reload, daemon=True)
    first.start()
    wait_until(lambda: hanging.calls == 1)
    file = tmp_path / "starlight.yml"
    file.write_text(file.read_text().replace("name: reference", "name: other"))
    second = threading.Thread(target=application.reload, daemon=True)
    second.start()
    second.join(10)
    blocked = second.is_alive()
    hanging.released.set()
    first.join(10)
    assert not blocked
    assert [dataset.name for dataset in application.config.datasets] == ["other"]
    assert [pair[1] for pair in application.state.snapshot.runs] == ["other"]
