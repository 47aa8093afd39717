"""Probes: small stego datasets unlike the training data, to measure the known limitations of a model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from starlight_exporter.detector.contract import METHODS, Method
from starlight_exporter.synthesis import covers
from starlight_exporter.synthesis.carriers import EXTENSIONS, STORAGES, Carrier, encode, make_carrier
from starlight_exporter.synthesis.embeddings import (
    BitOrder,
    embed_alpha,
    embed_eoi,
    embed_lsb,
    embed_palette,
    user_comment,
)
from starlight_exporter.synthesis.exif import ExifFields
from starlight_exporter.synthesis.payloads import make_payload
from starlight_exporter.synthesis.random_choice import choose_weighted

Rng = np.random.Generator


@dataclass(frozen=True, slots=True)
class Probe:
    """One limitation: title, applicable methods, image side in pixels, and payload generator."""

    name: str
    title: str
    methods: tuple[Method, ...]
    side: int
    text: Callable[[Rng], bytes]


def _text(low: int, high: int) -> Callable[[Rng], bytes]:
    return lambda rng: make_payload(rng, int(rng.integers(low, high))).text


def _encrypted(low: int, high: int) -> Callable[[Rng], bytes]:
    # Ciphertext is indistinguishable from random bytes. A zero byte would terminate the payload.
    return lambda rng: rng.integers(1, 256, int(rng.integers(low, high)), dtype=np.uint8).tobytes()


PIXEL_METHODS: tuple[Method, ...] = ("alpha", "palette", "lsb")

PROBES: tuple[Probe, ...] = (
    Probe("short", "payloads of 16 to 64 bytes", METHODS, 256, _text(16, 64)),
    Probe("shorter", "payloads of 65 to 160 bytes", METHODS, 256, _text(65, 160)),
    Probe("encrypted", "encrypted payloads (random bytes) of 300 to 1,500 bytes", METHODS, 256, _encrypted(300, 1500)),
    Probe("off_crop", "640×640 images, payload above the centre crop", PIXEL_METHODS, 640, _text(500, 4000)),
)


def write_probe(probe: Probe, root: Path, *, seed: int, per_method: int) -> None:
    """Generate the probe as a dataset in `root`: stego files only, labelled by folder."""
    for method in probe.methods:
        folder = root / "stego" / method
        folder.mkdir(parents=True)
        for index in range(per_method):
            key = (PROBES.index(probe), METHODS.index(method), index)
            rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence(seed, spawn_key=key)))
            carrier = make_carrier(
                rng, choose_weighted(rng, STORAGES[method]), covers.cover_image(rng, probe.side, probe.side)
            )
            data = _embed(rng, method, carrier, probe.text(rng))
            extension = EXTENSIONS[carrier.storage.file_format][0]
            (folder / f"{probe.name}_{method}_{index:04d}.{extension}").write_bytes(data)


def _embed(rng: Rng, method: Method, carrier: Carrier, text: bytes) -> bytes:
    pixels = carrier.pixels
    match method:
        case "alpha":
            return encode(carrier.with_pixels(np.dstack([pixels[..., :3], embed_alpha(pixels[..., 3], text)])))
        case "palette":
            return encode(carrier.with_pixels(embed_palette(pixels, text, _order(rng))))
        case "lsb":
            changed = embed_lsb(pixels[..., :3], text, _order(rng))
            return encode(carrier.with_pixels(np.dstack([changed, pixels[..., 3:]])))
        case "exif":
            fields = carrier.exif or ExifFields({}, {}, {}, little=True)
            return encode(carrier.with_exif(fields.with_user_comment(user_comment(text, prefixed=True))))
        case "eoi":
            return embed_eoi(encode(carrier.with_tail(b"")), text)


def _order(rng: Rng) -> BitOrder:
    return "msb-first" if rng.random() < 0.5 else "lsb-first"
