"""The recipe `sizes`: images from 32 to 4,096 pixels per side, with messages of constant and of proportional size."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from starlight_exporter.detector.contract import METHODS
from starlight_exporter.synthesis.carriers import (
    STORAGES,
    FileFormat,
    Shares,
    make_carrier,
    with_space_for_payload,
)
from starlight_exporter.synthesis.cover_sources import CoverSource
from starlight_exporter.synthesis.hiding import (
    BITS_PER_PIXEL,
    Cover,
    Embedding,
    capacity,
    random_order,
    write_cover,
    write_stego,
)
from starlight_exporter.synthesis.messages import make_message
from starlight_exporter.synthesis.names import SIZES
from starlight_exporter.synthesis.random_choice import choose_weighted
from starlight_exporter.synthesis.recipe import generator

COVERS_BY_SIDE: Final = {
    4096: 2,
    3072: 2,
    2048: 3,
    1536: 4,
    1024: 8,
    768: 10,
    512: 20,
    384: 20,
    256: 25,
    192: 20,
    128: 20,
    96: 20,
    64: 25,
    48: 15,
    32: 15,
}
"""Longer side in pixels → number of covers. Large covers take most of the time: there are few, and they are first."""
CONSTANT_SIZES: Final = (100, 1000)
"""Bytes of the messages that do not depend on the image."""
SCALED_SHARE: Final = 0.1
"""Share of the capacity that the other messages use."""
FORMATS_OF_LARGE: Final[tuple[FileFormat, ...]] = ("jpeg", "png", "gif")
"""Formats above LARGE pixels per side: uncompressed and lossless WebP files are too large, or take too long."""
LARGE: Final = 1024
_SIDES: Final = tuple(side for side, count in COVERS_BY_SIDE.items() for _ in range(count))
_ASPECTS: Final = ((1.0, 0.5625), (1.0, 0.75), (0.75, 1.0), (1.0, 1.0))
"""Width and height as shares of the longer side. The largest images have the fewest pixels of their side."""
_MESSAGES_PER_COVER: Final = 2
_SMALLEST: Final = 8
_BYTES_OF_SCALED_METADATA: Final = (64, 60_000)
_BRANCH: Final = 11


@dataclass(frozen=True, slots=True)
class SizeRecipe:
    """Seed and source of the covers."""

    seed: int
    covers: CoverSource

    @property
    def parameters(self) -> Mapping[str, object]:
        """Name, seed, and the digest of the covers."""
        return {"recipe": SIZES, "seed": self.seed, "covers": self.covers.digest}

    @property
    def folders(self) -> tuple[str, ...]:
        """The class folders; all covers have one source."""
        return (f"clean/{self.covers.name}", "stego")

    @property
    def sizes(self) -> tuple[int, ...]:
        """A cover and its stego files per task."""
        return (1 + _MESSAGES_PER_COVER,) * len(_SIDES)

    def write(self, task: int, root: Path) -> None:
        """Generate one cover and its stego files: one message in proportion to the image, one of constant size."""
        rng = generator(self.seed, _BRANCH, task)
        method = METHODS[task % len(METHODS)]
        width, height = (round(_SIDES[task] * share) for share in _ASPECTS[task // len(METHODS) % len(_ASPECTS)])
        storages = STORAGES[method] if _SIDES[task] <= LARGE else _for_large(STORAGES[method])
        rgb = self.covers.sized(rng, task, width, height)
        carrier = with_space_for_payload(rng, method, make_carrier(rng, choose_weighted(rng, storages), rgb))
        cover = Cover(carrier, self.covers.name, task)
        write_cover(cover, root)
        # Prefix and framing fit into what the largest message leaves.
        largest = capacity(method, carrier) - 24
        low, high = _BYTES_OF_SCALED_METADATA
        scaled = SCALED_SHARE * largest if method in BITS_PER_PIXEL else min(high, max(low, width * height / 80))
        constant = CONSTANT_SIZES[task % 2]
        for file, size in enumerate((max(_SMALLEST, round(scaled)), min(constant, largest))):
            embedding = Embedding(method, random_order(rng, method), prefixed=True)
            message = make_message(rng, "text", size, "zero")
            write_stego(rng, cover, embedding, message, number=_MESSAGES_PER_COVER * task + file, root=root)


def _for_large(shares: Shares) -> Shares:
    return tuple((storage, share) for storage, share in shares if storage.file_format in FORMATS_OF_LARGE)
