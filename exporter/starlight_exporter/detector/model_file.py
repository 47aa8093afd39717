"""Model files as bytes and hashes, without onnxruntime, so that the service process can use it."""

from __future__ import annotations

from pathlib import Path

from starlight_exporter.errors import ModelError
from starlight_exporter.files import file_sha256, require_regular


def read_model(path: Path) -> bytes:
    """Return the content of a model file. Raise ModelError `missing` or `unreadable`."""
    try:
        require_regular(path)
        return path.read_bytes()
    except OSError as error:
        raise file_error(path, error) from error


def model_sha256(path: Path) -> str:
    """Return the SHA-256 of a model file as hexadecimal digits. Raise ModelError `missing` or `unreadable`."""
    try:
        return file_sha256(path)
    except OSError as error:
        raise file_error(path, error) from error


def file_error(path: Path, error: OSError) -> ModelError:
    """Map an error of the operating system to a ModelError `missing` or `unreadable`."""
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return ModelError(f"{path}: no such model file", reason="missing")
    return ModelError(f"{path}: cannot be read: {error.strerror or error}", reason="unreadable")
