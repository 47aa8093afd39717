"""Small pictures of dataset files for pages: decoded here, re-encoded as PNG, at most 128 pixels wide and high."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from PIL import Image

from exporter.dataset.layout import DECODER_ERRORS, prepare_decoder
from exporter.dataset.names import thumbnail_name
from exporter.detector.contract import DEFAULT_MAX_PIXELS

LARGEST_SIDE: Final = 128


def write_thumbnails(root: Path, paths: Sequence[str], folder: Path) -> None:
    """Write a thumbnail for each file that decodes; one that does not has none, since it is an extra and no result."""
    prepare_decoder()
    if paths:
        folder.mkdir(parents=True, exist_ok=True)
    for path in paths:
        try:
            with Image.open(root / path) as image:
                if image.width * image.height > DEFAULT_MAX_PIXELS:
                    continue
                small = image.convert("RGBA")
        except DECODER_ERRORS:
            continue
        small.thumbnail((LARGEST_SIDE, LARGEST_SIDE))
        # A new picture from pixels alone: no metadata of the original can come along.
        clean = Image.new("RGBA", small.size)
        clean.paste(small)
        clean.save(folder / thumbnail_name(path), format="PNG")
