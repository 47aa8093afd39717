"""Models and datasets shared by the unit tests. Tests must not modify them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from starlight_exporter.evaluation.request import RunRequest
from support.run_cache import RunCache
from support.run_requests import run_request

CLEAN, STEGO, NEGATIVES = 40, 40, 12


@pytest.fixture(scope="session")
def model_path(run_cache: RunCache) -> Path:
    """Return a model whose verdicts differ from image to image."""
    return run_cache.random_model(seed=3, scale=40.0)


@pytest.fixture(scope="session")
def dataset_root(run_cache: RunCache) -> Path:
    """Return a dataset of 92 readable images of every class, format and method."""
    return run_cache.noise_dataset(clean=CLEAN, stego=STEGO, negatives=NEGATIVES)


@pytest.fixture
def request_for(model_path: Path, dataset_root: Path) -> Callable[..., RunRequest]:
    """Return a function that builds a request for the shared model and dataset; keyword arguments replace fields."""

    def make(**changes: Any) -> RunRequest:
        return run_request(model_path, dataset_root, **{"dataset": "generated", **changes})

    return make


@pytest.fixture(scope="session")
def synthetic(run_cache: RunCache) -> Path:
    """Return the root of a generated dataset of 600 clean files, 400 stego files and 100 negatives."""
    return run_cache.synthetic(seed=21, clean=600, stego=400, negatives=100)
