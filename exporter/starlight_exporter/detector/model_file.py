"""Model files as bytes and hashes, without onnxruntime, so that the service process can use it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from starlight_exporter.errors import ModelError
from starlight_exporter.file_access import FileContent, hash_content, read_content

MAX_MODEL_BYTES: Final = 512 * 1024 * 1024
"""Largest model file that is read."""

_OTHER_CONTENT: Final = (
    (rb"\Z", "the file is empty"),
    (rb"version https://git-lfs", "it is a Git LFS pointer, not the model; `git lfs pull` downloads the file"),
    (rb"\s*<(!doctype html|html|\?xml)", "it is an HTML page, not a model"),
    (rb"PK\x03\x04", "it is a ZIP archive, such as PyTorch saves; export the model to ONNX"),
    (rb"\x80[\x02-\x05]", "it is a Python pickle, such as PyTorch saves; export the model to ONNX"),
    (rb"\x1f\x8b|BZh|\xfd7zXZ\0", "it is compressed"),
)


def read_model(path: Path, *, root: Path | None = None) -> FileContent:
    """Return the content of a model file. Raise ModelError `missing` or `unreadable`.

    With a `root`, a link that leads out of it is not followed; likewise below.
    """
    try:
        return read_content(path, max_bytes=MAX_MODEL_BYTES, root=root)
    except OSError as error:
        raise file_error(path, error) from error


def model_sha256(path: Path, *, root: Path | None = None) -> str:
    """Return the SHA-256 of a model file as hexadecimal digits. Raise ModelError `missing` or `unreadable`."""
    try:
        return hash_content(path, max_bytes=MAX_MODEL_BYTES, root=root)
    except OSError as error:
        raise file_error(path, error) from error


def model_sha256_or_none(path: Path, *, root: Path | None = None) -> str | None:
    """Return the SHA-256 of a model file as hexadecimal digits, or None if it cannot be read."""
    try:
        return model_sha256(path, root=root)
    except ModelError:
        return None


def file_error(path: Path, error: OSError) -> ModelError:
    """Map an error of the operating system to a ModelError `missing` or `unreadable`."""
    if isinstance(error, FileNotFoundError | NotADirectoryError):
        return ModelError(f"{path}: no such model file", reason="missing")
    return ModelError(f"{path}: cannot be read: {error.strerror or error}", reason="unreadable")


def other_content(data: bytes) -> str | None:
    """Return what a file that is not a model is, if it is a frequent mistake; None if it may be a model."""
    return next((text for start, text in _OTHER_CONTENT if re.match(start, data, re.IGNORECASE)), None)
