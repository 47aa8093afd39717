"""The proof that an export equals its network, without the network: needs no PyTorch."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from support.models import write_constant_model
from training.session import distance, run_file


@pytest.mark.parametrize("broken", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_never_equal(broken: float) -> None:
    fine, diverged = np.array([1, 2], np.float32), np.array([1, broken], np.float32)
    assert distance(fine, fine) == 0.0
    assert distance(fine, fine + np.float32(0.5)) == 0.5
    for pair in ((fine, diverged), (diverged, fine), (diverged, diverged)):
        assert distance(*pair) == math.inf


def test_a_file_is_run_as_it_is(tmp_path: Path) -> None:
    model = write_constant_model(tmp_path / "model.onnx", logit=math.nan, method_logits=(5, 4, 3, 2, 1))
    outputs = run_file(model, {"format_features": np.zeros((3, 6), np.float32)})
    assert outputs["method_logits"].tolist() == [[5, 4, 3, 2, 1]] * 3
    assert distance(outputs["stego_logits"], outputs["stego_logits"]) == math.inf
