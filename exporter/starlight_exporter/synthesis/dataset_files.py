"""Generate one file of a dataset. It depends only on the seed and the index, so any worker can generate any file."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from starlight_exporter.detector.contract import CROP, METHODS, Method
from starlight_exporter.synthesis.carriers import CLEAN_SHARES, EXTENSIONS, STORAGES, Carrier, encode, make_carrier
from starlight_exporter.synthesis.cover_sources import CoverSource
from starlight_exporter.synthesis.embeddings import (
    ALPHA_PREFIX,
    BitOrder,
    embed_alpha,
    embed_eoi,
    embed_lsb,
    embed_palette,
    user_comment,
)
from starlight_exporter.synthesis.exif import MAX_CARRIER_EXIF, ExifFields
from starlight_exporter.synthesis.negatives import CATEGORIES, make_negative
from starlight_exporter.synthesis.payloads import Payload, make_payload
from starlight_exporter.synthesis.random_choice import choose_weighted, log_uniform
from starlight_exporter.synthesis.tails import short_tail

Rng = np.random.Generator
Part = Literal["clean", "stego", "negatives"]

MIN_PIXEL_PAYLOAD = 300
MIN_BYTE_PAYLOAD, MAX_BYTE_PAYLOAD = 120, 2500
MIN_FILE_WITH_TAIL = 1000
"""The detector ignores the tail of smaller files."""
PAIR_INTERVAL = 4
"""The unmodified carrier of every fourth stego file is a clean file. All other covers are used once."""

_CATEGORY_OF: dict[Method, str] = {
    "alpha": "pixel",
    "palette": "pixel",
    "lsb": "pixel",
    "exif": "metadata",
    "eoi": "eoi",
}
_TECHNIQUE_OF: dict[Method, str] = {
    "alpha": "alpha",
    "palette": "palette",
    "lsb": "lsb.rgb",
    "exif": "exif",
    "eoi": "raw",
}
# Spawn keys of the seed, one per purpose. Changing one changes every dataset.
_CLEAN, _CARRIER, _PAYLOAD, _NEGATIVE = range(4)


@dataclass(frozen=True, slots=True)
class Recipe:
    """Parameters of a dataset: seed, number of files of each part, source of the covers."""

    seed: int
    clean: int
    stego: int
    negatives: int
    covers: CoverSource

    @property
    def pairs(self) -> int:
        """Number of clean files that are the unmodified carriers of stego files."""
        return min(-(-self.stego // PAIR_INTERVAL), self.clean // PAIR_INTERVAL)


@dataclass(frozen=True, slots=True)
class Job:
    """One file to generate: the part of the dataset and the index in it."""

    part: Part
    index: int


def jobs(recipe: Recipe) -> tuple[Job, ...]:
    """Return the jobs of all files of a recipe."""
    parts: tuple[tuple[Part, int], ...] = (
        ("clean", recipe.clean),
        ("stego", recipe.stego),
        ("negatives", recipe.negatives),
    )
    return tuple(Job(part, index) for part, count in parts for index in range(count))


def write_file(recipe: Recipe, job: Job, root: Path) -> None:
    """Generate one file (and its sidecar) below `root`."""
    match job.part:
        case "clean":
            _write_clean(recipe, job.index, root)
        case "stego":
            _write_stego(recipe, job.index, root)
        case "negatives":
            _write_negative(recipe, job.index, root)


def _rng(recipe: Recipe, branch: int, index: int) -> Rng:
    return np.random.Generator(np.random.PCG64(np.random.SeedSequence(recipe.seed, spawn_key=(branch, index))))


def _extension(carrier: Carrier) -> str:
    choices = EXTENSIONS[carrier.storage.file_format]
    return choices[carrier.seed % len(choices)]


def _clean_name(index: int, carrier: Carrier) -> str:
    return f"clean-{index:04d}.{_extension(carrier)}"


def _clean_carrier(recipe: Recipe, index: int) -> Carrier:
    if index < recipe.pairs:
        return _stego_carrier(recipe, index * PAIR_INTERVAL)
    rng = _rng(recipe, _CLEAN, index)
    storage = choose_weighted(rng, CLEAN_SHARES)
    return make_carrier(rng, storage, recipe.covers.cover(rng, index))


def _stego_carrier(recipe: Recipe, index: int) -> Carrier:
    rng = _rng(recipe, _CARRIER, index)
    method = METHODS[index % len(METHODS)]
    storage = choose_weighted(rng, STORAGES[method])
    # A paired carrier uses the cover of its clean file, so that the clean files use the covers in order.
    cover = recipe.covers.cover(rng, index // PAIR_INTERVAL if _is_paired(recipe, index) else index)
    carrier = make_carrier(rng, storage, cover)
    if method in ("exif", "eoi") and carrier.exif is not None:
        carrier = carrier.with_exif(carrier.exif.truncated_to(MAX_CARRIER_EXIF))
    if method == "eoi":
        # The payload after a long tail would be beyond the bytes that the detector reads.
        carrier = carrier.with_tail(short_tail(rng) if rng.random() < 0.2 else b"")
    return carrier


def _is_paired(recipe: Recipe, index: int) -> bool:
    return index % PAIR_INTERVAL == 0 and index // PAIR_INTERVAL < recipe.pairs


def _write_clean(recipe: Recipe, index: int, root: Path) -> None:
    carrier = _clean_carrier(recipe, index)
    (root / "clean" / _clean_name(index, carrier)).write_bytes(encode(carrier))


def _write_stego(recipe: Recipe, index: int, root: Path) -> None:
    method = METHODS[index % len(METHODS)]
    carrier = _stego_carrier(recipe, index)
    rng = _rng(recipe, _PAYLOAD, index)
    order: BitOrder = "msb-first" if method in ("palette", "lsb") and rng.random() < 0.5 else "lsb-first"
    payload = make_payload(rng, payload_size(rng, method, carrier))
    if method == "eoi" and carrier.storage.file_format == "gif":
        payload = without_late_semicolons(payload)
    data = _embed(rng, method, carrier, payload.text, order)
    name = f"{payload.kind}_{method}_{index:04d}.{_extension(carrier)}"
    sidecar = {
        "embedding": {
            "category": _CATEGORY_OF[method],
            "technique": _TECHNIQUE_OF[method],
            "ai42": method == "alpha",
            "bit_order": order if _CATEGORY_OF[method] == "pixel" else None,
        },
        "clean_file": _clean_name(index // PAIR_INTERVAL, carrier) if _is_paired(recipe, index) else None,
        "payload_bytes": len(payload.text),
    }
    (root / "stego" / name).write_bytes(data)
    (root / "stego" / f"{name}.json").write_text(json.dumps(sidecar, indent=1) + "\n", encoding="utf-8")


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
    if _CATEGORY_OF[method] == "pixel":
        height, width = carrier.pixels.shape[:2]
        bits_per_pixel = 3 if method == "lsb" else 1
        capacity = height * width * bits_per_pixel // 8 - len(ALPHA_PREFIX) - 1
        rows_above = max(0, (height - CROP) // 2)
        rows_needed = -(-MIN_PIXEL_PAYLOAD * 8 // (min(width, CROP) * bits_per_pixel))
        low = min(capacity, -(-(rows_above + rows_needed) * width * bits_per_pixel // 8))
        high = max(low, round(0.8 * capacity))
    return round(log_uniform(rng, low, high))


def _write_negative(recipe: Recipe, index: int, root: Path) -> None:
    rng = _rng(recipe, _NEGATIVE, index)
    category = CATEGORIES[index % len(CATEGORIES)]
    number = index // len(CATEGORIES)
    # Rotated, so that no negative equals a clean file with the same cover.
    cover = np.ascontiguousarray(np.rot90(recipe.covers.cover(rng, index)))
    negative = make_negative(rng, category, number, cover)
    path = root / "negatives" / category / f"{category}-{number:04d}.{negative.extension}"
    path.write_bytes(negative.data)
