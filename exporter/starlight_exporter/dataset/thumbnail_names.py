"""File names of thumbnails, importable without a decoder."""

from __future__ import annotations

import hashlib


def thumbnail_name(path: str) -> str:
    """Return the file name of an image's thumbnail: a hash of the dataset path, which may contain any character."""
    return hashlib.sha256(path.encode("utf-8", "surrogatepass")).hexdigest()[:24] + ".png"
