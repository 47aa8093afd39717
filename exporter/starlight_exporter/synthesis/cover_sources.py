"""Sources of cover images: procedural ones, or existing image files."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from starlight_exporter.dataset.ignored import is_ignored
from starlight_exporter.detector.contract import DEFAULT_MAX_FILE_BYTES, DEFAULT_MAX_PIXELS
from starlight_exporter.detector.decoding import DECODER_ERRORS, silence_pillow
from starlight_exporter.detector.format_signatures import DECODED_FORMATS
from starlight_exporter.errors import DatasetError
from starlight_exporter.file_access import hash_content, open_regular
from starlight_exporter.synthesis import covers

Rng = np.random.Generator
Bytes = NDArray[np.uint8]

SIDE = 256
MIN_SIDE, MAX_SIDE = 64, 320
MAX_COVER_SIDE = 1024
MAX_GENERATED_SIDE = 1024
NOISE_TILE = 509
MAX_COVER_PIXELS = DEFAULT_MAX_PIXELS
MAX_COVER_BYTES = DEFAULT_MAX_FILE_BYTES


class CoverSource(Protocol):
    """Source of RGB covers (H×W×3); the same index and generator state give the same pixels.

    `name` is the source in labels, `digest` identifies the files that the covers are from (None for generated ones).
    """

    @property
    def name(self) -> str: ...

    @property
    def digest(self) -> str | None: ...

    def cover(self, rng: Rng, index: int) -> Bytes:
        """Return a cover at a size of the source's choice."""
        ...

    def sized(self, rng: Rng, index: int, width: int, height: int) -> Bytes:
        """Return a cover of this size in pixels."""
        ...


@dataclass(frozen=True, slots=True)
class ProceduralCovers:
    """Procedural covers: three quarters are 256×256, the others 64 to 320 pixels per side."""

    @property
    def name(self) -> str:
        """Return `procedural`."""
        return "procedural"

    @property
    def digest(self) -> None:
        """Return None: there are no files."""
        return None

    def cover(self, rng: Rng, index: int) -> Bytes:  # noqa: ARG002  # every cover is generated from `rng`
        width = height = SIDE
        if rng.random() >= 0.75:
            width, height = (int(side) for side in rng.integers(MIN_SIDE, MAX_SIDE + 1, 2))
        return covers.cover_image(rng, width, height)

    def sized(self, rng: Rng, index: int, width: int, height: int) -> Bytes:  # noqa: ARG002  # generated from `rng`
        """Return a generated cover: above 1,024 pixels per side enlarged with noise, below 64 cut from a larger one."""
        scale = -(-max(width, height) // MAX_GENERATED_SIDE)
        rgb = covers.cover_image(rng, max(MIN_SIDE, -(-width // scale)), max(MIN_SIDE, -(-height // scale)))
        return rgb[:height, :width] if scale == 1 else _enlarged(rng, rgb, width, height)


@dataclass(frozen=True, slots=True)
class CoverFiles:
    """Covers from image files, at their own size up to MAX_COVER_SIDE per side.

    The first four uses of a file are the full image and its mirror images; later ones are random crops.
    """

    paths: tuple[Path, ...]
    digest: str

    @property
    def name(self) -> str:
        """Return `files`."""
        return "files"

    def cover(self, rng: Rng, index: int) -> Bytes:
        use, at = divmod(index, len(self.paths))
        image = self._readable(at)
        if use & 1:
            image = ImageOps.mirror(image)
        if use & 2:
            image = ImageOps.flip(image)
        width, height = image.size
        if use > 3:
            share = float(rng.uniform(0.6, 1.0))
            w, h = max(1, round(width * share)), max(1, round(height * share))
            left, top = int(rng.integers(0, width - w + 1)), int(rng.integers(0, height - h + 1))
            image = image.crop((left, top, left + w, top + h))
        if min(image.size) < MIN_SIDE:
            # The shortest payload must fit. Clean and stego files are treated the same.
            sides = (max(image.width, MIN_SIDE), max(image.height, MIN_SIDE))
            image = image.resize(sides, Image.Resampling.BICUBIC)
        return np.asarray(image)

    def sized(self, rng: Rng, index: int, width: int, height: int) -> Bytes:
        """Return a random part of the file at its own resolution; a smaller file is enlarged first."""
        image = Image.fromarray(self.cover(rng, index))
        scale = max(width / image.width, height / image.height)
        if scale > 1:
            sides = (max(width, round(image.width * scale)), max(height, round(image.height * scale)))
            image = image.resize(sides, Image.Resampling.LANCZOS)
        left = int(rng.integers(0, image.width - width + 1))
        top = int(rng.integers(0, image.height - height + 1))
        return np.asarray(image.crop((left, top, left + width, top + height)))

    def _readable(self, at: int) -> Image.Image:
        """Return the image of file number `at`, or of the next readable one."""
        silence_pillow()
        problem: DatasetError | None = None
        for path in self.paths[at:] + self.paths[:at]:
            try:
                return _open(path)
            except DatasetError as error:
                problem = problem or error
        raise problem or DatasetError("no covers")


def _enlarged(rng: Rng, rgb: Bytes, width: int, height: int) -> Bytes:
    """Enlarge an image; noise of ±1 levels makes its least significant bits unlike those of interpolation."""
    large = np.asarray(Image.fromarray(rgb).resize((width, height), Image.Resampling.BICUBIC))
    # A random tile, because noise for every pixel of a large image takes longer than everything else.
    tile = rng.integers(-1, 2, (NOISE_TILE, NOISE_TILE, 3), dtype=np.int8)
    repeats = (-(-height // NOISE_TILE), -(-width // NOISE_TILE), 1)
    noise = np.tile(tile, repeats)[:height, :width]
    noisy: Bytes = np.clip(large.astype(np.int16) + noise, 0, 255).astype(np.uint8)
    return noisy


def _open(path: Path) -> Image.Image:
    try:
        with open_regular(path) as file, Image.open(file, formats=DECODED_FORMATS) as image:
            if image.width * image.height > MAX_COVER_PIXELS:
                raise DatasetError(f"{path}: {image.width}×{image.height} pixels are too many for a cover")
            image.draft("RGB", (MAX_COVER_SIDE, MAX_COVER_SIDE))
            if image.mode.startswith("I;16"):
                # Pillow clips 16-bit values to 8 bits instead of scaling them.
                grey = (np.asarray(image).astype(np.uint16) >> 8).astype(np.uint8)
                rgb = Image.fromarray(grey).convert("RGB")
            else:
                rgb = (image.convert("RGBA") if "transparency" in image.info else image).convert("RGB")
    except DECODER_ERRORS as error:
        raise DatasetError(f"{path}: cannot be used as a cover: {error}") from error
    if max(rgb.size) > MAX_COVER_SIDE:
        rgb.thumbnail((MAX_COVER_SIDE, MAX_COVER_SIDE), Image.Resampling.LANCZOS)
    return rgb


def find_covers(folder: Path) -> CoverFiles:
    """Return the distinct images below `folder`, sorted by path. Raise DatasetError if there is none."""
    silence_pillow()
    try:
        if not folder.is_dir():
            raise DatasetError(f"{folder}: no such folder of cover images")
        usable: dict[bytes, Path] = {}
        for path in sorted(folder.rglob("*")):
            if not is_ignored(path.name) and path.is_file() and _is_usable(path):
                usable.setdefault(bytes.fromhex(hash_content(path, max_bytes=MAX_COVER_BYTES)), path)
    except OSError as error:
        raise DatasetError(f"{folder}: cannot be read: {error.strerror}") from error
    if not usable:
        raise DatasetError(f"{folder}: contains no usable cover image")
    return CoverFiles(tuple(usable.values()), hashlib.sha256(b"".join(usable)).hexdigest())


def _is_usable(path: Path) -> bool:
    try:
        with open_regular(path) as file, Image.open(file, formats=DECODED_FORMATS) as image:
            is_small = os.fstat(file.fileno()).st_size <= MAX_COVER_BYTES
            return is_small and 0 < image.width * image.height <= MAX_COVER_PIXELS
    except DECODER_ERRORS:
        return False
