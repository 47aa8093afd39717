"""Comparison of an exported file with expected outputs. Needs no PyTorch."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from support.models import write_constant_model
from training.session import max_difference, run_file


@pytest.mark.parametrize("broken", [math.nan, math.inf, -math.inf])
def test_difference_of_non_finite_values_is_infinite(broken: float) -> None:
    finite, diverged = np.array([1, 2], np.float32), np.array([1, broken], np.float32)
    assert max_difference(finite, finite) == 0.0
    assert max_difference(finite, finite + np.float32(0.5)) == 0.5
    for pair in ((finite, diverged), (diverged, finite), (diverged, diverged)):
        assert max_difference(*pair) == math.inf


def test_run_file_returns_all_outputs(tmp_path: Path) -> None:
    model = write_constant_model(tmp_path / "model.onnx", logit=math.nan, method_logits=(5, 4, 3, 2, 1))
    outputs = run_file(model, {"format_features": np.zeros((3, 6), np.float32)})
    assert outputs["method_logits"].tolist() == [[5, 4, 3, 2, 1]] * 3
    assert max_difference(outputs["stego_logits"], outputs["stego_logits"]) == math.inf
