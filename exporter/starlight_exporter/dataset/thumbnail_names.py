"""File names that are derived from dataset paths; needs no decoder."""

from __future__ import annotations

import hashlib


def thumbnail_name(path: str) -> str:
    """The file name of an image's thumbnail: derived from the dataset path, with nothing of that path in it."""
    return hashlib.sha256(path.encode("utf-8", "surrogatepass")).hexdigest()[:24] + ".png"
