"""Runs an ONNX file directly, for the proof that an export equals its network."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from starlight_exporter.detector.model import open_session


def run_file(path: Path, inputs: Mapping[str, NDArray[np.float32]]) -> dict[str, NDArray[np.float32]]:
    """All outputs by name, of a session as the exporter opens it."""
    session = open_session(str(path))
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, dict(inputs)), strict=True))


def distance(values: NDArray[np.float32], expected: NDArray[np.float32]) -> float:
    """Largest absolute difference; infinite where a number is not finite, which proves nothing equal."""
    if not (np.isfinite(values).all() and np.isfinite(expected).all()):
        return math.inf
    return float(np.abs(values - expected).max())
