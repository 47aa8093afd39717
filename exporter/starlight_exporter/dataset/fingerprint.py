"""Fingerprint of a dataset: the SHA-256 over every path, label and content."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from typing import Protocol

from starlight_exporter.dataset.dataset import FileClass
from starlight_exporter.detector.contract import Method


class Identified(Protocol):
    """A file with the labels and the content that identify it."""

    @property
    def path(self) -> str:
        """The path in the dataset."""

    @property
    def file_class(self) -> FileClass:
        """The class."""

    @property
    def method(self) -> Method | None:
        """The method of a stego file."""

    @property
    def category(self) -> str | None:
        """The category of a negative."""

    @property
    def sha256(self) -> str:
        """The SHA-256 of the content, empty if it could not be read."""


class Fingerprint:
    """Computes a fingerprint from the files in the order of the listing."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256()

    def add(self, file: Identified, size_bytes: int | None) -> None:
        """Add a file. One that is too large to be hashed is identified by its size."""
        content = file.sha256 or (f"{size_bytes} bytes" if size_bytes else "")
        row = (file.path, file.file_class, file.method, file.category, content)
        self._digest.update(json.dumps(row).encode() + b"\n")

    def finished(self, stated: Iterable[tuple[object, ...]] = ()) -> str:
        """Return the fingerprint as hexadecimal digits; `stated` is what a label manifest states besides."""
        digest = self._digest.copy()
        for facts in stated:
            digest.update(json.dumps(facts).encode() + b"\n")
        return digest.hexdigest()
