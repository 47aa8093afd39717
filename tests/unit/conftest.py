"""Models and datasets that tests of several folders read and never change."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from starlight_exporter.detector.decision import PLAIN
from starlight_exporter.evaluation.request import RunRequest
from starlight_exporter.synthesis import synthesise
from support.images import write_dataset
from support.models import write_random_model

CLEAN, STEGO, NEGATIVES = 40, 40, 12


@pytest.fixture(scope="session")
def model_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model whose verdicts differ from image to image."""
    return write_random_model(tmp_path_factory.mktemp("model") / "model.onnx", seed=3, scale=40.0)


@pytest.fixture(scope="session")
def dataset_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ninety-two readable pictures of every class, format and method."""
    return write_dataset(tmp_path_factory.mktemp("dataset"), clean=CLEAN, stego=STEGO, negatives=NEGATIVES)


@pytest.fixture
def request_for(model_path: Path, dataset_root: Path) -> Callable[..., RunRequest]:
    """A request on the shared model and dataset; keyword arguments replace its parts."""

    def make(**changes: Any) -> RunRequest:
        parts: dict[str, Any] = {
            "model": "small",
            "role": "research",
            "model_path": model_path,
            "decision": PLAIN,
            "dataset": "drawn",
            "dataset_root": dataset_root,
            "trigger": "test",
            "latency_sample": 0,
            "threads": 2,
            **changes,
        }
        return RunRequest(**parts)

    return make


@pytest.fixture(scope="session")
def synthetic(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Root of a dataset of 600 clean files, 400 stego files and 100 negatives."""
    root = tmp_path_factory.mktemp("synthetic") / "dataset"
    synthesise(root, seed=21, clean=600, stego=400, negatives=100, workers=2)
    return root
