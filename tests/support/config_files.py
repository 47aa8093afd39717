"""Configuration files for tests, and the error that loading one raises."""

from __future__ import annotations

from pathlib import Path

import pytest

from starlight_exporter.config import load_config
from starlight_exporter.errors import ConfigError

MODEL = "{name: production, file: model.onnx, role: production}"
VALID = f"models: [{MODEL}]\ndatasets: [{{name: reference, path: images}}]\n"
THRESHOLDS = "alpha: 0.7, palette: 0.9, lsb: 0.9, exif: 0.5, eoi: 0.6"


def model_with(text: str) -> str:
    """Return a valid configuration with more keys of its model."""
    return VALID.replace("role: production", f"role: production, {text}")


def unlabelled_with(text: str) -> str:
    """Return a valid configuration with an unlabelled dataset and more keys of it."""
    return VALID.replace("path: images}", f"path: images}}, {{name: incoming, path: new, labelled: false, {text}}}")


def write_config_file(folder: Path, text: str | bytes) -> Path:
    """Write a configuration file."""
    file = folder / "starlight.yml"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return file


def error_of(file: Path) -> str:
    """Return the error of loading a file without the file name, and assert that it is one line."""
    with pytest.raises(ConfigError) as caught:
        load_config(file)
    text = str(caught.value)
    assert text.startswith(f"{file}: ")
    assert "\n" not in text
    return text.removeprefix(f"{file}: ")
