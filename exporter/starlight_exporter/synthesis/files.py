"""Makes one file of a dataset from the seed and the file's number alone, so that any worker can make any file."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from starlight_exporter.detector.contract import CROP, METHODS, Method
from starlight_exporter.synthesis.carriers import CLEAN, EXTENSIONS, STORAGES, Carrier, make_carrier, store
from starlight_exporter.synthesis.choice import log_uniform, pick_share
from starlight_exporter.synthesis.embeddings import (
    ALPHA_PREFIX,
    BitOrder,
    embed_alpha,
    embed_eoi,
    embed_lsb,
    embed_palette,
    user_comment,
)
from starlight_exporter.synthesis.exif import LARGEST_CARRIER, ExifFields
from starlight_exporter.synthesis.negatives import CATEGORIES, make_negative
from starlight_exporter.synthesis.payloads import Payload, make_payload
from starlight_exporter.synthesis.sources import PictureSource
from starlight_exporter.synthesis.tails import short_tail

Rng = np.random.Generator
Part = Literal["clean", "stego", "negatives"]

SHORTEST_PIXEL_PAYLOAD = 300
SHORTEST_BYTE_PAYLOAD, LONGEST_BYTE_PAYLOAD = 120, 2500
SMALLEST_FILE_WITH_TAIL = 1000
"""The detector looks for a tail in no smaller file."""
PAIRED_EVERY = 4
"""Every fourth stego file has its untouched carrier among the clean files; the others' pictures occur once."""

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
# Branches of the seed: which stream of random numbers a purpose draws from. Changing one changes every dataset.
_CLEAN, _CARRIER, _PAYLOAD, _NEGATIVE = range(4)


@dataclass(frozen=True, slots=True)
class Recipe:
    """What a dataset is made of: the seed, how many files of each part, and where pictures come from."""

    seed: int
    clean: int
    stego: int
    negatives: int
    pictures: PictureSource

    @property
    def pairs(self) -> int:
        """How many clean files are the untouched carriers of stego files."""
        return min(-(-self.stego // PAIRED_EVERY), self.clean // PAIRED_EVERY)


@dataclass(frozen=True, slots=True)
class Job:
    """One file to make: its part and its number there."""

    part: Part
    index: int


def jobs(recipe: Recipe) -> tuple[Job, ...]:
    """Every file of a recipe."""
    parts: tuple[tuple[Part, int], ...] = (
        ("clean", recipe.clean),
        ("stego", recipe.stego),
        ("negatives", recipe.negatives),
    )
    return tuple(Job(part, index) for part, count in parts for index in range(count))


def write_file(recipe: Recipe, job: Job, root: Path) -> None:
    """Makes one file (and its sidecar) below `root`."""
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
        return _stego_carrier(recipe, index * PAIRED_EVERY)
    rng = _rng(recipe, _CLEAN, index)
    storage = pick_share(rng, CLEAN)
    return make_carrier(rng, storage, recipe.pictures.picture(rng, index))


def _stego_carrier(recipe: Recipe, index: int) -> Carrier:
    rng = _rng(recipe, _CARRIER, index)
    method = METHODS[index % len(METHODS)]
    storage = pick_share(rng, STORAGES[method])
    # A paired carrier is the clean file of its pair's number, so that the clean files use every cover in turn.
    picture = recipe.pictures.picture(rng, index // PAIRED_EVERY if _is_paired(recipe, index) else index)
    carrier = make_carrier(rng, storage, picture)
    if method in ("exif", "eoi") and carrier.exif is not None:
        carrier = carrier.with_exif(carrier.exif.within(LARGEST_CARRIER))
    if method == "eoi":
        # A long tail would push the payload out of the bytes that the detector reads.
        carrier = carrier.with_tail(short_tail(rng) if rng.random() < 0.2 else b"")
    return carrier


def _is_paired(recipe: Recipe, index: int) -> bool:
    return index % PAIRED_EVERY == 0 and index // PAIRED_EVERY < recipe.pairs


def _write_clean(recipe: Recipe, index: int, root: Path) -> None:
    carrier = _clean_carrier(recipe, index)
    (root / "clean" / _clean_name(index, carrier)).write_bytes(store(carrier))


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
        "clean_file": _clean_name(index // PAIRED_EVERY, carrier) if _is_paired(recipe, index) else None,
        "payload_bytes": len(payload.text),
    }
    (root / "stego" / name).write_bytes(data)
    (root / "stego" / f"{name}.json").write_text(json.dumps(sidecar, indent=1) + "\n", encoding="utf-8")


def _embed(rng: Rng, method: Method, carrier: Carrier, text: bytes, order: BitOrder) -> bytes:
    pixels = carrier.pixels
    match method:
        case "alpha":
            return store(carrier.with_pixels(np.dstack([pixels[..., :3], embed_alpha(pixels[..., 3], text)])))
        case "palette":
            return store(carrier.with_pixels(embed_palette(pixels, text, order)))
        case "lsb":
            rgb = embed_lsb(pixels[..., :3], text, order)
            return store(carrier.with_pixels(np.dstack([rgb, pixels[..., 3:]])))
        case "exif":
            fields = carrier.exif or ExifFields({}, {}, {}, little=bool(rng.random() < 0.5))
            comment = user_comment(text, prefixed=bool(rng.random() < 0.7))
            return store(carrier.with_exif(fields.with_user_comment(comment)))
        case "eoi":
            return embed_eoi(store(carrier), text)


def without_late_semicolons(payload: Payload) -> Payload:
    """For a GIF, whose tail begins after the last semicolon: only the first third of the text keeps its own."""
    kept = len(payload.text) // 3
    return Payload(payload.kind, payload.text[:kept] + payload.text[kept:].replace(b";", b","))


def payload_size(rng: Rng, method: Method, carrier: Carrier) -> int:
    """Bytes of text, log-uniform between the least that the detector's centre crop can show and 80 % of what fits."""
    low, high = SHORTEST_BYTE_PAYLOAD, LONGEST_BYTE_PAYLOAD
    if method == "eoi":
        low = max(low, SMALLEST_FILE_WITH_TAIL - len(store(carrier)))
    if _CATEGORY_OF[method] == "pixel":
        height, width = carrier.pixels.shape[:2]
        bits_per_pixel = 3 if method == "lsb" else 1
        capacity = height * width * bits_per_pixel // 8 - len(ALPHA_PREFIX) - 1
        rows_above = max(0, (height - CROP) // 2)
        rows_shown = -(-SHORTEST_PIXEL_PAYLOAD * 8 // (min(width, CROP) * bits_per_pixel))
        low = min(capacity, -(-(rows_above + rows_shown) * width * bits_per_pixel // 8))
        high = max(low, round(0.8 * capacity))
    return round(log_uniform(rng, low, high))


def _write_negative(recipe: Recipe, index: int, root: Path) -> None:
    rng = _rng(recipe, _NEGATIVE, index)
    category = CATEGORIES[index % len(CATEGORIES)]
    number = index // len(CATEGORIES)
    # Turned, so that no negative equals a clean file of the same cover.
    picture = np.ascontiguousarray(np.rot90(recipe.pictures.picture(rng, index)))
    negative = make_negative(rng, category, number, picture)
    path = root / "negatives" / category / f"{category}-{number:04d}.{negative.extension}"
    path.write_bytes(negative.data)
