"""Runs an ONNX file directly, for the proof that an export equals its network."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray


def open_session(path: Path) -> onnxruntime.InferenceSession:
    """A session as the exporter opens it: one thread, no spinning."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def run_file(path: Path, inputs: Mapping[str, NDArray[np.float32]]) -> dict[str, NDArray[np.float32]]:
    """All outputs by name."""
    session = open_session(path)
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, dict(inputs)), strict=True))
