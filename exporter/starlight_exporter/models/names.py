"""Names of models."""

from __future__ import annotations

from pathlib import Path


def model_name(path: Path) -> str:
    """Return the folder's name for models/NAME/model.onnx, otherwise the file's name without suffix."""
    return path.resolve().parent.name if path.stem == "model" else path.stem
