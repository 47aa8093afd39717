"""Hidden messages can be read back from the stored file, and their labels describe where they are."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from starlight_exporter.dataset.sidecar import read_sidecar
from starlight_exporter.detector.contract import METHODS, Method
from starlight_exporter.synthesis.carriers import GIF_P, PNG_RGB, PNG_RGBA, Encoding, make_carrier
from starlight_exporter.synthesis.embeddings import (
    BitOrder,
    embed_bits,
    embed_bits_by_matching,
    embed_bits_scattered,
    payload_bits,
)
from starlight_exporter.synthesis.hiding import (
    Cover,
    Embedding,
    Operation,
    capacity,
    hide,
    reaches_crop,
    write_cover,
    write_stego,
)
from starlight_exporter.synthesis.messages import make_message

CARRIERS: dict[Method, Encoding] = {
    "alpha": PNG_RGBA,
    "palette": GIF_P,
    "lsb": PNG_RGB,
    "exif": PNG_RGB,
    "eoi": PNG_RGB,
}


def noise(width: int, height: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return np.random.default_rng(3).integers(0, 256, (height, width, 3), dtype=np.uint8)


def cover_for(method: Method) -> Cover:
    carrier = make_carrier(np.random.default_rng(5), CARRIERS[method], noise(64, 64)).with_tail(b"").with_exif(None)
    return Cover(carrier, "procedural", 7)


def bits_of(plane: np.ndarray[tuple[int, ...], np.dtype[np.uint8]], count: int, order: BitOrder) -> bytes:
    return np.packbits(plane.reshape(-1)[:count] & 1, bitorder="little" if order == "lsb-first" else "big").tobytes()


@pytest.mark.parametrize("operation", ["replacement", "matching"])
@pytest.mark.parametrize("method", ["alpha", "palette", "lsb"])
def test_message_is_in_the_pixels_of_the_stored_file(method: Method, operation: Operation) -> None:
    order: BitOrder = "lsb-first" if method == "alpha" else "msb-first"
    embedding = Embedding(method, order, operation, prefixed=True)
    data = hide(np.random.default_rng(1), cover_for(method).carrier, embedding, b"hidden text\x00")
    with Image.open(io.BytesIO(data)) as image:
        pixels = np.asarray(image)
    plane = pixels[..., 3] if method == "alpha" else pixels
    expected = b"AI42hidden text\x00" if method == "alpha" else b"hidden text\x00"
    assert bits_of(plane, 8 * len(expected), order) == expected


@pytest.mark.parametrize("method", ["exif", "eoi"])
def test_message_is_in_the_metadata_of_the_stored_file(method: Method) -> None:
    carrier = cover_for(method).carrier
    data = hide(np.random.default_rng(1), carrier, Embedding(method, prefixed=True), b"hidden\x00")
    if method == "eoi":
        assert data.endswith(b"IEND\xaeB`\x82hidden\x00")
    else:
        assert b"ASCII\x00\x00\x00hidden\x00" in data


def test_matching_changes_values_by_one_and_sets_the_same_bits() -> None:
    plane = np.tile(np.array([0, 1, 254, 255, 7, 8], dtype=np.uint8), 400)
    message = np.random.default_rng(1).bytes(250)
    changed = embed_bits_by_matching(plane, message, "lsb-first", np.random.default_rng(2))
    assert (changed[:2000] & 1).tolist() == payload_bits(message, "lsb-first").tolist()
    steps = changed.astype(int) - plane
    assert set(steps.tolist()) == {-1, 0, 1}
    # Replacement never changes an even value downwards; ±1 does for half of them.
    assert (steps[(plane == 8) & (steps != 0)] < 0).any()
    assert (embed_bits(plane, message, "lsb-first").astype(int) - plane)[plane == 8].min() == 0


def test_scattered_bits_are_spread_over_the_plane() -> None:
    plane = np.zeros(10_000, dtype=np.uint8)
    changed = embed_bits_scattered(plane, b"\xff" * 100, "lsb-first", np.random.default_rng(1))
    assert changed.sum() == 800
    assert 300 < changed[:5000].sum() < 500


@pytest.mark.parametrize(("width", "height"), [(64, 64), (256, 256), (300, 100), (257, 259), (512, 512), (400, 300)])
@pytest.mark.parametrize("method", ["alpha", "lsb"])
def test_reaches_crop_equals_the_pixels_that_the_detector_sees(method: Method, width: int, height: int) -> None:
    left, top = (max(0, round((side - 256) / 2)) for side in (width, height))
    inside = np.zeros((height, width), dtype=bool)
    inside[top : top + 256, left : left + 256] = True
    first = int(np.flatnonzero(inside.reshape(-1))[0])
    bits = 3 if method == "lsb" else 1
    for size in {1, first * bits // 8 - 1, first * bits // 8, first * bits // 8 + 1, width * height * bits // 8}:
        if size > 0:
            used = -(-8 * size // bits)
            assert reaches_crop(Embedding(method), size, width, height) == bool(inside.reshape(-1)[:used].any())


def test_metadata_has_no_position() -> None:
    assert reaches_crop(Embedding("exif"), 10, 512, 512) is None
    assert reaches_crop(Embedding("eoi"), 10, 512, 512) is None


@pytest.mark.parametrize("method", METHODS)
def test_sidecar_has_the_labels_of_the_file(tmp_path: Path, method: Method) -> None:
    (tmp_path / "clean" / "procedural").mkdir(parents=True)
    (tmp_path / "stego").mkdir()
    rng, cover = np.random.default_rng(1), cover_for(method)
    write_cover(cover, tmp_path)
    message = make_message(rng, "text", 100, "zero")
    write_stego(rng, cover, Embedding(method), message, number=12, root=tmp_path)
    (sidecar,) = (tmp_path / "stego").glob("*.json")
    assert sidecar.name.startswith(f"{message.kind}_{method}_0012.")
    labels = json.loads(sidecar.read_text())
    assert labels["payload_bytes"] == len(message.content)
    assert labels["source"] == "procedural"
    assert labels.get("reaches_crop") is (True if method in ("alpha", "palette", "lsb") else None)
    read = read_sidecar(sidecar, root=tmp_path)
    assert (read.method, read.cover, read.payload_bytes) == (method, cover.name, len(message.content))
    assert (tmp_path / "clean" / cover.name).exists()


def test_message_beyond_the_capacity_is_rejected() -> None:
    carrier = cover_for("lsb").carrier
    largest = capacity("lsb", carrier)
    assert largest == 64 * 64 * 3 // 8
    hide(np.random.default_rng(1), carrier, Embedding("lsb"), b"a" * largest)
    with pytest.raises(ValueError, match="does not fit"):
        hide(np.random.default_rng(1), carrier, Embedding("lsb"), b"a" * (largest + 1))
