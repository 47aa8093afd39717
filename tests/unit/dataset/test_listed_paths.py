"""Paths of a label manifest that are listed twice."""

from __future__ import annotations

import pytest

from starlight_exporter.dataset import listed_paths
from starlight_exporter.dataset.listed_paths import ListedPaths
from starlight_exporter.dataset.manifest_rows import ManifestError


@pytest.mark.parametrize("again", [0, 3, 4, 11, 12])
def test_path_is_found_again_in_every_batch(monkeypatch: pytest.MonkeyPatch, again: int) -> None:
    monkeypatch.setattr(listed_paths, "_BATCH", 4)
    paths = ListedPaths()

    def add_all() -> None:
        for number in range(13):
            paths.add(f"{number}.png", f"labels.csv:{number}")
        paths.add(f"{again}.png", "labels.csv:20")
        paths.check()

    with pytest.raises(ManifestError, match=rf"^labels.csv:20: lists '{again}.png' a second time$"):
        add_all()


def test_different_paths_are_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listed_paths, "_BATCH", 4)
    paths = ListedPaths()
    for number in range(21):
        paths.add(f"{number}.png", f"labels.csv:{number}")
    paths.check()
