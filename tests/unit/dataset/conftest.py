"""One synthetic dataset for every test that only reads it."""

from __future__ import annotations

from pathlib import Path

import pytest

from exporter.dataset.synthesis import synthesise


@pytest.fixture(scope="session")
def synthetic(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Root of a dataset of 600 clean files, 400 stego files and 100 negatives."""
    root = tmp_path_factory.mktemp("synthetic") / "dataset"
    synthesise(root, seed=21, clean=600, stego=400, negatives=100, workers=2)
    return root
