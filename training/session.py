"""Run an ONNX file directly, to verify that it equals the exported network."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from starlight_exporter.detector.session import open_session


def run_file(path: Path, inputs: Mapping[str, NDArray[np.float32]]) -> dict[str, NDArray[np.float32]]:
    """Return all outputs by name, from a session opened as in the exporter."""
    session = open_session(path.read_bytes())
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, dict(inputs)), strict=True))


def max_difference(values: NDArray[np.float32], expected: NDArray[np.float32]) -> float:
    """Return the largest absolute difference, or infinity if any value is not finite."""
    if not (np.isfinite(values).all() and np.isfinite(expected).all()):
        return math.inf
    return float(np.abs(values - expected).max())
