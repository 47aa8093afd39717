"""Where pictures come from: drawn from a seed, or cut from somebody's own photographs."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from starlight_exporter.dataset.layout import is_image_name, open_header, prepare_decoder
from starlight_exporter.detector.decoding import DECODER_ERRORS
from starlight_exporter.errors import DatasetError
from starlight_exporter.files import file_sha256
from starlight_exporter.synthesis import covers

Rng = np.random.Generator
Bytes = NDArray[np.uint8]

SIDE = 256
SMALLEST_SIDE, LARGEST_SIDE = 64, 320
LARGEST_COVER = 1024
LARGEST_COVER_PIXELS = 100_000_000


class PictureSource(Protocol):
    """Gives the picture number `index` as RGB (H×W×3); the same index and generator state give the same pixels."""

    def picture(self, rng: Rng, index: int) -> Bytes: ...


@dataclass(frozen=True, slots=True)
class DrawnPictures:
    """Procedural pictures: three quarters of them 256×256, the others 64..320 per side."""

    def picture(self, rng: Rng, index: int) -> Bytes:  # noqa: ARG002  every picture is drawn afresh
        width = height = SIDE
        if rng.random() >= 0.75:
            width, height = (int(side) for side in rng.integers(SMALLEST_SIDE, LARGEST_SIDE + 1, 2))
        return covers.picture(rng, width, height)


@dataclass(frozen=True, slots=True)
class CoverPictures:
    """Pictures cut from image files, kept at their own size up to LARGEST_COVER per side.

    The first four uses of a cover are all of it, plain and mirrored; later ones are crops.
    """

    paths: tuple[Path, ...]
    digest: str

    def picture(self, rng: Rng, index: int) -> Bytes:
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
        if min(image.size) < SMALLEST_SIDE:
            # A shortest payload would not fit; the same for clean and stego files.
            sides = (max(image.width, SMALLEST_SIDE), max(image.height, SMALLEST_SIDE))
            image = image.resize(sides, Image.Resampling.BICUBIC)
        return np.asarray(image)

    def _readable(self, at: int) -> Image.Image:
        """Cover number `at`, or the next one where that is damaged."""
        prepare_decoder()
        problem: DatasetError | None = None
        for path in self.paths[at:] + self.paths[:at]:
            try:
                return _open(path)
            except DatasetError as error:
                problem = problem or error
        raise problem or DatasetError("no covers")


def _open(path: Path) -> Image.Image:
    try:
        with open_header(path) as image:
            if image.width * image.height > LARGEST_COVER_PIXELS:
                raise DatasetError(f"{path}: {image.width}×{image.height} pixels are too many for a cover")
            image.draft("RGB", (LARGEST_COVER, LARGEST_COVER))
            if image.mode.startswith("I;16"):
                # Pillow would clip sixteen bits to eight instead of scaling them.
                grey = (np.asarray(image).astype(np.uint16) >> 8).astype(np.uint8)
                picture = Image.fromarray(grey).convert("RGB")
            else:
                picture = (image.convert("RGBA") if "transparency" in image.info else image).convert("RGB")
    except DECODER_ERRORS as error:
        raise DatasetError(f"{path}: cannot be used as a cover: {error}") from error
    if max(picture.size) > LARGEST_COVER:
        picture.thumbnail((LARGEST_COVER, LARGEST_COVER), Image.Resampling.LANCZOS)
    return picture


def find_covers(folder: Path) -> CoverPictures:
    """Every image below `folder`, sorted by path, equal files once; DatasetError where there is none."""
    prepare_decoder()
    try:
        if not folder.is_dir():
            raise DatasetError(f"{folder}: no such folder of covers")
        usable: dict[bytes, Path] = {}
        for path in sorted(folder.rglob("*")):
            if is_image_name(path.name) and path.is_file() and _is_usable(path):
                usable.setdefault(bytes.fromhex(file_sha256(path)), path)
    except OSError as error:
        raise DatasetError(f"{folder}: cannot be read: {error.strerror}") from error
    if not usable:
        raise DatasetError(f"{folder}: holds no image that can be used as a cover")
    return CoverPictures(tuple(usable.values()), hashlib.sha256(b"".join(usable)).hexdigest())


def _is_usable(path: Path) -> bool:
    try:
        with open_header(path) as image:
            return 0 < image.width * image.height <= LARGEST_COVER_PIXELS
    except DECODER_ERRORS:
        return False
