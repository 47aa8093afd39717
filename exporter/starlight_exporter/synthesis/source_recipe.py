"""The recipe `sources`: covers of seven sources, each with the methods that its files can carry."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from starlight_exporter.detector.contract import METHODS, Method
from starlight_exporter.synthesis.carriers import (
    STORAGES,
    FileFormat,
    Mode,
    Shares,
    make_carrier,
    with_space_for_payload,
)
from starlight_exporter.synthesis.cover_sources import CoverSource
from starlight_exporter.synthesis.covers import drawing, gradient, screenshot
from starlight_exporter.synthesis.hiding import (
    BITS_PER_PIXEL,
    Cover,
    Embedding,
    capacity,
    random_order,
    write_cover,
    write_stego,
)
from starlight_exporter.synthesis.messages import CONTENTS, make_message
from starlight_exporter.synthesis.names import SOURCES as NAME
from starlight_exporter.synthesis.phones import phone_exif, xmp_packet
from starlight_exporter.synthesis.photographs import jpeg_recompressed
from starlight_exporter.synthesis.random_choice import choose, choose_weighted, log_uniform
from starlight_exporter.synthesis.recipe import generator

Rng = np.random.Generator
Bytes = NDArray[np.uint8]

SIDE: Final = 256
COVERS_PER_SOURCE: Final = 35
BLOCK: Final = 8
MIN_PIXEL_MESSAGE: Final = 300
METADATA_MESSAGE: Final = (120, 2500)
_BRANCH: Final = 12


@dataclass(frozen=True, slots=True)
class SourceProcess:
    """Where covers come from: their pixels from the recipe's covers and an index, the methods, file formats and modes.

    `is_phone` replaces the EXIF by that of phones, and adds XMP.
    """

    pixels: Callable[[Rng, CoverSource, int], Bytes]
    methods: tuple[Method, ...] = METHODS
    formats: tuple[FileFormat, ...] = ("jpeg", "png", "gif", "webp", "bmp")
    modes: tuple[Mode, ...] = ("RGB", "RGBA", "P", "L")
    is_phone: bool = False


@dataclass(frozen=True, slots=True)
class SourceRecipe:
    """Seed and source of the covers; screenshots and gradients are generated in any case."""

    seed: int
    covers: CoverSource

    @property
    def parameters(self) -> Mapping[str, object]:
        """Name, seed, and the digest of the covers."""
        return {"recipe": NAME, "seed": self.seed, "covers": self.covers.digest}

    @property
    def folders(self) -> tuple[str, ...]:
        """One folder of clean files per source."""
        return (*(f"clean/{self._folder(name)}" for name in SOURCES), "stego")

    @property
    def sizes(self) -> tuple[int, ...]:
        """A cover and one or two stego files per task."""
        return tuple(1 + _messages(task) for task in range(len(SOURCES) * COVERS_PER_SOURCE))

    def write(self, task: int, root: Path) -> None:
        """Generate one cover and its stego files."""
        rng = generator(self.seed, _BRANCH, task)
        number, at = divmod(task, len(SOURCES))
        name, source = tuple(SOURCES.items())[at]
        method = source.methods[number % len(source.methods)]
        rgb = source.pixels(rng, self.covers, task)
        storage = choose_weighted(rng, _storages(source, method))
        carrier = with_space_for_payload(rng, method, make_carrier(rng, storage, rgb))
        if source.is_phone:
            carrier = replace(carrier, exif=phone_exif(rng, rgb), xmp=xmp_packet(rng) if rng.random() < 0.6 else b"")
        cover = Cover(carrier, self._folder(name), task)
        write_cover(cover, root)
        for file in range(_messages(task)):
            low, high = METADATA_MESSAGE
            if method in BITS_PER_PIXEL:
                low, high = MIN_PIXEL_MESSAGE, capacity(method, carrier) * 3 // 4
            content = CONTENTS[(number + file) % len(CONTENTS)]
            message = make_message(rng, content, round(log_uniform(rng, low, high)))
            embedding = Embedding(method, random_order(rng, method), prefixed=bool(rng.random() < 0.7))
            write_stego(rng, cover, embedding, message, number=2 * task + file, root=root)

    def _folder(self, name: str) -> str:
        return self.covers.name if name == UNMODIFIED else name


def _messages(task: int) -> int:
    return 1 + task // len(SOURCES) % 2


def _storages(source: SourceProcess, method: Method) -> Shares:
    return tuple(
        (storage, share)
        for storage, share in STORAGES[method]
        if storage.file_format in source.formats and storage.mode in source.modes
    )


def _unmodified(rng: Rng, covers: CoverSource, index: int) -> Bytes:
    return covers.sized(rng, index, SIDE, SIDE)


def _recompressed(rng: Rng, covers: CoverSource, index: int) -> Bytes:
    """Return a cover after two JPEG compressions; the blocks of the second are shifted against those of the first."""
    image = Image.fromarray(covers.sized(rng, index, SIDE + BLOCK, SIDE + BLOCK))
    left, top = (int(value) for value in rng.integers(0, BLOCK, 2))
    once = jpeg_recompressed(rng, image)
    return np.asarray(jpeg_recompressed(rng, once.crop((left, top, left + SIDE, top + SIDE))))


def _resized(rng: Rng, covers: CoverSource, index: int) -> Bytes:
    side = round(SIDE * log_uniform(rng, 0.5, 2.5))
    image = Image.fromarray(covers.sized(rng, index, side, side))
    return np.asarray(image.resize((SIDE, SIDE), choose(rng, tuple(Image.Resampling))))


def _flat(rng: Rng, covers: CoverSource, index: int) -> Bytes:  # noqa: ARG001  # generated from `rng`
    return choose(rng, (screenshot, screenshot, drawing))(rng, SIDE, SIDE)


def _gradient(rng: Rng, covers: CoverSource, index: int) -> Bytes:  # noqa: ARG001  # generated from `rng`
    return gradient(rng, SIDE, SIDE)


UNMODIFIED: Final = "covers"
"""The recipe's covers as they are; the folder has the name of their source."""
SOURCES: Final[dict[str, SourceProcess]] = {
    UNMODIFIED: SourceProcess(_unmodified),
    "recompressed": SourceProcess(_recompressed),
    "resized": SourceProcess(_resized),
    "palette": SourceProcess(_unmodified, ("palette", "palette", "eoi"), ("gif", "png", "bmp"), ("P",)),
    "phone": SourceProcess(_unmodified, ("exif", "exif", "eoi"), ("jpeg", "webp"), ("RGB",), is_phone=True),
    "screenshot": SourceProcess(_flat, formats=("png", "webp", "gif", "bmp")),
    "gradient": SourceProcess(_gradient, formats=("png", "webp", "gif", "bmp")),
}
"""Name → source; the name is the folder of its clean files."""
