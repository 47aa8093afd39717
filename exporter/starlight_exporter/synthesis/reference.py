"""The recipe `reference`: clean files, five embeddings of readable text that reach into the crop, hard negatives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from starlight_exporter.detector.contract import CROP, METHODS, Method
from starlight_exporter.errors import DatasetError
from starlight_exporter.synthesis.carriers import (
    CLEAN_SHARES,
    STORAGES,
    Carrier,
    encode,
    extension,
    make_carrier,
    with_space_for_payload,
)
from starlight_exporter.synthesis.cover_sources import CoverSource, ProceduralCovers
from starlight_exporter.synthesis.embeddings import (
    ALPHA_PREFIX,
    BitOrder,
    embed_alpha,
    embed_eoi,
    embed_lsb,
    embed_palette,
    user_comment,
)
from starlight_exporter.synthesis.exif import ExifFields
from starlight_exporter.synthesis.negatives import CATEGORIES, make_negative
from starlight_exporter.synthesis.payloads import Payload, make_payload
from starlight_exporter.synthesis.random_choice import choose_weighted, log_uniform
from starlight_exporter.synthesis.recipe import generator
from starlight_exporter.synthesis.sidecars import CATEGORY_OF, embedding_labels, write_labelled

Rng = np.random.Generator

MIN_PIXEL_PAYLOAD = 300
MIN_BYTE_PAYLOAD, MAX_BYTE_PAYLOAD = 120, 2500
MIN_FILE_WITH_TAIL = 1000
"""The detector ignores the tail of smaller files."""
PAIR_INTERVAL = 4
"""The unmodified carrier of every fourth stego file is a clean file. All other covers are used once."""

# Spawn keys of the seed, one per purpose. Changing one changes every dataset.
_CLEAN, _CARRIER, _PAYLOAD, _NEGATIVE = range(4)


@dataclass(frozen=True, slots=True)
class ReferenceRecipe:
    """Seed, number of files of each part, source of the covers. Raise DatasetError for invalid numbers."""

    seed: int
    clean: int = 1000
    stego: int = 800
    negatives: int = 200
    covers: CoverSource = field(default_factory=ProceduralCovers)

    def __post_init__(self) -> None:
        """Check the numbers."""
        counts = {"seed": self.seed, "clean": self.clean, "stego": self.stego, "negatives": self.negatives}
        for name, value in counts.items():
            if value < 0:
                raise DatasetError(f"{name} must not be negative: {value}")
        if self.clean + self.stego + self.negatives == 0:
            raise DatasetError("a dataset needs at least one file: clean, stego and negatives are all 0")

    @property
    def parameters(self) -> Mapping[str, object]:
        """Seed, counts, and the digest of the covers."""
        return {
            "seed": self.seed,
            "clean": self.clean,
            "stego": self.stego,
            "negatives": self.negatives,
            "covers": self.covers.digest,
        }

    @property
    def folders(self) -> tuple[str, ...]:
        """The class folders."""
        return ("clean", "stego", *(f"negatives/{category}" for category in CATEGORIES))

    @property
    def sizes(self) -> tuple[int, ...]:
        """One image per task: clean files, stego files, negatives."""
        return (1,) * (self.clean + self.stego + self.negatives)

    def write(self, task: int, root: Path) -> None:
        """Generate one file, and its sidecar, below `root`."""
        if task < self.clean:
            _write_clean(self, task, root)
        elif task < self.clean + self.stego:
            _write_stego(self, task - self.clean, root)
        else:
            _write_negative(self, task - self.clean - self.stego, root)

    @property
    def pairs(self) -> int:
        """Number of clean files that are the unmodified carriers of stego files."""
        return min(-(-self.stego // PAIR_INTERVAL), self.clean // PAIR_INTERVAL)


def _clean_name(index: int, carrier: Carrier) -> str:
    return f"clean-{index:04d}.{extension(carrier)}"


def _clean_carrier(recipe: ReferenceRecipe, index: int) -> Carrier:
    if index < recipe.pairs:
        return _stego_carrier(recipe, index * PAIR_INTERVAL)
    rng = generator(recipe.seed, _CLEAN, index)
    storage = choose_weighted(rng, CLEAN_SHARES)
    return make_carrier(rng, storage, recipe.covers.cover(rng, index))


def _stego_carrier(recipe: ReferenceRecipe, index: int) -> Carrier:
    rng = generator(recipe.seed, _CARRIER, index)
    method = METHODS[index % len(METHODS)]
    storage = choose_weighted(rng, STORAGES[method])
    # A paired carrier uses the cover of its clean file, so that the clean files use the covers in order.
    cover = recipe.covers.cover(rng, index // PAIR_INTERVAL if _is_paired(recipe, index) else index)
    carrier = make_carrier(rng, storage, cover)
    return with_space_for_payload(rng, method, carrier)


def _is_paired(recipe: ReferenceRecipe, index: int) -> bool:
    return index % PAIR_INTERVAL == 0 and index // PAIR_INTERVAL < recipe.pairs


def _write_clean(recipe: ReferenceRecipe, index: int, root: Path) -> None:
    carrier = _clean_carrier(recipe, index)
    (root / "clean" / _clean_name(index, carrier)).write_bytes(encode(carrier))


def _write_stego(recipe: ReferenceRecipe, index: int, root: Path) -> None:
    method = METHODS[index % len(METHODS)]
    carrier = _stego_carrier(recipe, index)
    rng = generator(recipe.seed, _PAYLOAD, index)
    order: BitOrder = "msb-first" if method in ("palette", "lsb") and rng.random() < 0.5 else "lsb-first"
    payload = make_payload(rng, payload_size(rng, method, carrier))
    if method == "eoi" and carrier.storage.file_format == "gif":
        payload = without_late_semicolons(payload)
    data = _embed(rng, method, carrier, payload.text, order)
    name = f"{payload.kind}_{method}_{index:04d}.{extension(carrier)}"
    labels = {
        "embedding": embedding_labels(method, order, ai42=method == "alpha"),
        "clean_file": _clean_name(index // PAIR_INTERVAL, carrier) if _is_paired(recipe, index) else None,
        "payload_bytes": len(payload.text),
    }
    write_labelled(root / "stego" / name, data, labels)


def _embed(rng: Rng, method: Method, carrier: Carrier, text: bytes, order: BitOrder) -> bytes:
    pixels = carrier.pixels
    match method:
        case "alpha":
            return encode(carrier.with_pixels(np.dstack([pixels[..., :3], embed_alpha(pixels[..., 3], text)])))
        case "palette":
            return encode(carrier.with_pixels(embed_palette(pixels, text, order)))
        case "lsb":
            rgb = embed_lsb(pixels[..., :3], text, order)
            return encode(carrier.with_pixels(np.dstack([rgb, pixels[..., 3:]])))
        case "exif":
            fields = carrier.exif or ExifFields({}, {}, {}, little=bool(rng.random() < 0.5))
            comment = user_comment(text, prefixed=bool(rng.random() < 0.7))
            return encode(carrier.with_exif(fields.with_user_comment(comment)))
        case "eoi":
            return embed_eoi(encode(carrier), text)


def without_late_semicolons(payload: Payload) -> Payload:
    """Replace the semicolons after the first third of the text.

    The detector takes everything after the last semicolon of a GIF as its tail.
    """
    kept = len(payload.text) // 3
    return Payload(payload.kind, payload.text[:kept] + payload.text[kept:].replace(b";", b","))


def payload_size(rng: Rng, method: Method, carrier: Carrier) -> int:
    """Return a log-uniform random text size in bytes.

    Between the smallest that reaches into the centre crop of the detector and 80% of the capacity.
    """
    low, high = MIN_BYTE_PAYLOAD, MAX_BYTE_PAYLOAD
    if method == "eoi":
        low = max(low, MIN_FILE_WITH_TAIL - len(encode(carrier)))
    if CATEGORY_OF[method] == "pixel":
        height, width = carrier.pixels.shape[:2]
        bits_per_pixel = 3 if method == "lsb" else 1
        capacity = height * width * bits_per_pixel // 8 - len(ALPHA_PREFIX) - 1
        rows_above = max(0, (height - CROP) // 2)
        rows_needed = -(-MIN_PIXEL_PAYLOAD * 8 // (min(width, CROP) * bits_per_pixel))
        low = min(capacity, -(-(rows_above + rows_needed) * width * bits_per_pixel // 8))
        high = max(low, round(0.8 * capacity))
    return round(log_uniform(rng, low, high))


def _write_negative(recipe: ReferenceRecipe, index: int, root: Path) -> None:
    rng = generator(recipe.seed, _NEGATIVE, index)
    category = CATEGORIES[index % len(CATEGORIES)]
    number = index // len(CATEGORIES)
    # Rotated, so that no negative equals a clean file with the same cover.
    cover = np.ascontiguousarray(np.rot90(recipe.covers.cover(rng, index)))
    negative = make_negative(rng, category, number, cover)
    path = root / "negatives" / category / f"{category}-{number:04d}.{negative.extension}"
    path.write_bytes(negative.data)
