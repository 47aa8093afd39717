"""The recipe `payloads`: messages from 8 bytes to the capacity of the cover, in four sizes for each cover.

Contents, framings, bit order, ±1 embedding, scattered bits, and (in 512×512 covers) messages above the centre crop vary
independently of the size.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from starlight_exporter.detector.contract import METHODS, Method
from starlight_exporter.synthesis.carriers import STORAGES, make_carrier, with_space_for_payload
from starlight_exporter.synthesis.cover_sources import CoverSource
from starlight_exporter.synthesis.embeddings import ALPHA_PREFIX
from starlight_exporter.synthesis.hiding import (
    Cover,
    Embedding,
    Operation,
    Placement,
    capacity,
    random_order,
    write_cover,
    write_stego,
)
from starlight_exporter.synthesis.messages import CONTENTS, content_size, make_message
from starlight_exporter.synthesis.names import PAYLOADS
from starlight_exporter.synthesis.random_choice import choose_weighted
from starlight_exporter.synthesis.recipe import generator

Rng = np.random.Generator

COVERS: Final = 220
MESSAGES_PER_COVER: Final = 4
SMALLEST: Final = 8
SIDES: Final = (256, 256, 256, 512)
_SCATTERED_SHARE: Final = 0.15
_BRANCH: Final = 10


@dataclass(frozen=True, slots=True)
class PayloadRecipe:
    """Seed and source of the covers."""

    seed: int
    covers: CoverSource

    @property
    def parameters(self) -> Mapping[str, object]:
        """Name, seed, and the digest of the covers."""
        return {"recipe": PAYLOADS, "seed": self.seed, "covers": self.covers.digest}

    @property
    def folders(self) -> tuple[str, ...]:
        """The class folders; all covers have one source."""
        return (f"clean/{self.covers.name}", "stego")

    @property
    def sizes(self) -> tuple[int, ...]:
        """A cover and its stego files per task."""
        return (1 + MESSAGES_PER_COVER,) * COVERS

    def write(self, task: int, root: Path) -> None:
        """Generate one cover and its stego files."""
        rng = generator(self.seed, _BRANCH, task)
        number, at = divmod(task, len(METHODS))
        method = METHODS[at]
        side = SIDES[number % len(SIDES)]
        rgb = self.covers.sized(rng, task, side, side)
        carrier = with_space_for_payload(rng, method, make_carrier(rng, choose_weighted(rng, STORAGES[method]), rgb))
        cover = Cover(carrier, self.covers.name, task)
        write_cover(cover, root)
        grid = size_grid(capacity(method, carrier))
        for file in range(MESSAGES_PER_COVER):
            step = (number + file * -(-len(grid) // MESSAGES_PER_COVER)) % len(grid)
            embedding = _embedding(rng, method)
            content = CONTENTS[(number + file) % len(CONTENTS)]
            message = make_message(rng, content, grid[step])
            largest = content_size(message.framing, capacity(method, carrier) - _prefix(embedding))
            if len(message.content) > largest:
                message = make_message(rng, content, largest, message.framing)
            write_stego(rng, cover, embedding, message, number=MESSAGES_PER_COVER * task + file, root=root)


def size_grid(largest: int) -> tuple[int, ...]:
    """Return message sizes in bytes: powers of two from SMALLEST, and the largest."""
    steps = [SMALLEST]
    while 2 * steps[-1] < largest:
        steps.append(2 * steps[-1])
    return (*steps, largest)


def _embedding(rng: Rng, method: Method) -> Embedding:
    is_scattered, is_matching, is_prefixed = rng.random(3) < (_SCATTERED_SHARE, 0.5, 0.5)
    placement: Placement = "scattered" if is_scattered else "sequential"
    # ±1 changes palette indices beyond the palette, and colours without relation to their size.
    operation: Operation = "matching" if is_matching and not is_scattered and method != "palette" else "replacement"
    return Embedding(method, random_order(rng, method), operation, placement, prefixed=bool(is_prefixed))


def _prefix(embedding: Embedding) -> int:
    return len(ALPHA_PREFIX) if embedding.method == "alpha" and embedding.prefixed else 0
