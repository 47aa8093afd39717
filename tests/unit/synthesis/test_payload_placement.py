"""Payloads are placed where the detector reads: in its centre crop and in tails."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from starlight_exporter.detector import decoding, streams
from starlight_exporter.detector.contract import Method, Stream
from starlight_exporter.synthesis.carriers import (
    BMP_RGB,
    GIF_P,
    PNG_P,
    PNG_RGB,
    PNG_RGBA,
    Encoding,
    encode,
    make_carrier,
)
from starlight_exporter.synthesis.embeddings import embed_alpha, embed_eoi
from starlight_exporter.synthesis.payloads import Payload
from starlight_exporter.synthesis.reference import payload_size, without_late_semicolons


def flat(width: int, height: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return np.full((height, width, 3), 9, dtype=np.uint8)


@pytest.mark.parametrize(
    ("method", "storage", "bits"),
    [("alpha", PNG_RGBA, 1), ("palette", PNG_P, 1), ("lsb", PNG_RGB, 3), ("lsb", BMP_RGB, 3)],
)
@pytest.mark.parametrize(("width", "height"), [(256, 256), (64, 64), (320, 320), (64, 320), (320, 64), (101, 300)])
def test_pixel_payloads_have_at_least_300_bytes_in_the_crop(
    method: Method, storage: Encoding, bits: int, width: int, height: int
) -> None:
    rng = np.random.default_rng(1)
    carrier = make_carrier(rng, storage, flat(width, height))
    sizes = [payload_size(rng, method, carrier) for _ in range(200)]
    capacity = width * height * bits // 8
    top, left = max(0, round((height - 256) / 2)), max(0, round((width - 256) / 2))
    used = np.arange(width * height).reshape(height, width) < min(sizes) * 8 / bits
    assert used[top : top + 256, left : left + 256].sum() * bits >= 300 * 8 - bits
    assert max(sizes) <= max(0.8 * capacity, min(sizes))
    assert max(sizes) + 5 <= capacity
    if (width, height) == (256, 256):
        assert max(sizes) > 3 * min(sizes)


def test_alpha_payload_changes_the_alpha_stream() -> None:
    carrier = make_carrier(np.random.default_rng(2), PNG_RGBA, flat(320, 320))
    size = payload_size(np.random.default_rng(3), "alpha", carrier)
    plane = embed_alpha(carrier.pixels[..., 3], b"t" * size)
    alpha: tuple[Stream, ...] = ("alpha",)
    seen = [
        streams.tensors(decoding.decode(encode(each)), alpha)["alpha"][1]
        for each in (carrier, carrier.with_pixels(np.dstack([carrier.pixels[..., :3], plane])))
    ]
    assert (seen[0] != seen[1]).sum() > 300


@pytest.mark.parametrize("storage", [PNG_RGB, GIF_P])
def test_eoi_payload_makes_small_file_large_enough_for_a_tail(storage: Encoding) -> None:
    rng = np.random.default_rng(1)
    carrier = make_carrier(rng, storage, flat(64, 64)).with_tail(b"").with_exif(None)
    stored = encode(carrier)
    assert len(stored) < 800
    for _ in range(50):
        data = embed_eoi(stored, b"t" * payload_size(rng, "eoi", carrier))
        assert decoding.decode(data).tail_bytes > 100


def test_semicolons_do_not_hide_the_tail_of_a_gif() -> None:
    out = io.BytesIO()
    Image.new("P", (64, 64)).save(out, "GIF")
    text = b"let a = 1;\n" * 150
    payload = without_late_semicolons(Payload("code", text))
    assert len(payload.text) == len(text)
    assert payload.text.count(b";") == 50
    assert decoding.decode(embed_eoi(out.getvalue(), text)).tail_bytes < 10
    assert decoding.decode(embed_eoi(out.getvalue(), payload.text)).tail_bytes > 1000
