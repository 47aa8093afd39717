"""Embedding round trips: payloads are extracted by code that is independent of the embedding code."""

from __future__ import annotations

import io
import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import piexif
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from starlight_exporter.synthesis import embeddings
from starlight_exporter.synthesis.carriers import (
    BMP_P,
    BMP_RGB,
    GIF_P,
    JPEG_RGB,
    PNG_L,
    PNG_P,
    PNG_RGB,
    PNG_RGBA,
    WEBP_LOSSY,
    WEBP_RGB,
    WEBP_RGBA,
    Encoding,
    encode,
    make_carrier,
)
from starlight_exporter.synthesis.exif import ExifFields

TEXT = 'Meet at the harbour: déjà vu, утро, 手紙 {"a": [1, 2]};\n' * 6


def decode_bits(bits: list[int], order: str) -> bytes:
    """Return the bytes before the first zero byte."""
    out = bytearray()
    for at in range(0, len(bits) - 7, 8):
        octet = bits[at : at + 8]
        value = int("".join(map(str, octet if order == "msb-first" else octet[::-1])), 2)
        if value == 0:
            return bytes(out)
        out.append(value)
    raise AssertionError("payload is not zero-terminated")


def read_pixels(data: bytes, technique: str, order: str) -> bytes:
    with Image.open(io.BytesIO(data)) as image:
        image.load()
        match technique:
            case "alpha":
                assert image.mode == "RGBA"
                values = list(image.getchannel("A").tobytes())
            case "palette":
                assert image.mode == "P"
                values = list(image.tobytes())
            case _:
                values = list(image.convert("RGB").tobytes())
    return decode_bits([value & 1 for value in values], order)


def read_comment(data: bytes) -> bytes:
    with Image.open(io.BytesIO(data)) as image:
        image.load()
        block = image.info["exif"]
    comment: bytes = piexif.load(block)["Exif"][0x9286]
    return comment.removeprefix(b"ASCII\x00\x00\x00").removesuffix(b"\x00")


def read_tail(data: bytes) -> bytes:
    """Return the file without the terminating zero byte."""
    assert data.endswith(b"\x00")
    return data[:-1]


def random_rgb(width: int = 90, height: int = 70) -> Any:
    return np.random.default_rng(3).integers(0, 256, (height, width, 3), dtype=np.uint8)


def carrier_of(storage: Encoding, width: int = 90, height: int = 70) -> Any:
    return make_carrier(np.random.default_rng(4), storage, random_rgb(width, height))


@pytest.mark.parametrize("storage", [PNG_RGBA, WEBP_RGBA])
def test_alpha_round_trip(storage: Encoding) -> None:
    carrier = carrier_of(storage)
    plane = embeddings.embed_alpha(carrier.pixels[..., 3], TEXT.encode())
    data = encode(carrier.with_pixels(np.dstack([carrier.pixels[..., :3], plane])))
    assert read_pixels(data, "alpha", "lsb-first").decode() == "AI42" + TEXT


@pytest.mark.parametrize("order", ["lsb-first", "msb-first"])
@pytest.mark.parametrize("storage", [GIF_P, PNG_P, BMP_P])
def test_palette_round_trip(storage: Encoding, order: embeddings.BitOrder) -> None:
    carrier = carrier_of(storage)
    data = encode(carrier.with_pixels(embeddings.embed_palette(carrier.pixels, TEXT.encode(), order)))
    assert read_pixels(data, "palette", order).decode() == TEXT


@pytest.mark.parametrize("order", ["lsb-first", "msb-first"])
@pytest.mark.parametrize("storage", [PNG_RGB, PNG_RGBA, BMP_RGB, WEBP_RGB, WEBP_RGBA])
def test_lsb_round_trip(storage: Encoding, order: embeddings.BitOrder) -> None:
    carrier = carrier_of(storage)
    rgb = embeddings.embed_lsb(carrier.pixels[..., :3], TEXT.encode(), order)
    data = encode(carrier.with_pixels(np.dstack([rgb, carrier.pixels[..., 3:]])))
    assert read_pixels(data, "lsb.rgb", order).decode() == TEXT


@pytest.mark.parametrize("prefixed", [True, False])
@pytest.mark.parametrize("storage", [JPEG_RGB, PNG_RGB, PNG_L, WEBP_RGB, WEBP_LOSSY])
def test_exif_round_trip(storage: Encoding, *, prefixed: bool) -> None:
    carrier = carrier_of(storage)
    comment = embeddings.user_comment(TEXT.encode(), prefixed=prefixed)
    for fields in (carrier.exif, ExifFields({}, {}, {}, little=False), ExifFields({}, {}, {}, little=True)):
        if fields is not None:
            data = encode(carrier.with_exif(fields.with_user_comment(comment)))
            assert read_comment(data).decode() == TEXT
            assert (b"ASCII\x00\x00\x00" + TEXT.encode()[:20] in data) == prefixed


@pytest.mark.parametrize("storage", [JPEG_RGB, PNG_RGB, GIF_P, WEBP_RGB, BMP_RGB])
def test_eoi_round_trip_does_not_change_pixels(storage: Encoding) -> None:
    stored = encode(carrier_of(storage))
    data = embeddings.embed_eoi(stored, TEXT.encode())
    assert data == stored + TEXT.encode() + b"\x00"
    with Image.open(io.BytesIO(data)) as after, Image.open(io.BytesIO(stored)) as before:
        assert after.tobytes() == before.tobytes()


@given(
    text=st.text(st.characters(exclude_characters="\x00", exclude_categories=["Cs"]), max_size=60),
    order=st.sampled_from(["lsb-first", "msb-first"]),
    width=st.integers(1, 40),
)
@settings(max_examples=60, deadline=None)
def test_embedding_changes_only_least_significant_bits(text: str, order: embeddings.BitOrder, width: int) -> None:
    message = text.encode() + b"\x00"
    plane = np.random.default_rng(1).integers(0, 256, (2000 // width + width, width), dtype=np.uint8)
    changed = embeddings.embed_bits(plane, message, order)
    assert decode_bits([int(value) & 1 for value in changed.ravel()], order) == text.encode()
    assert ((changed ^ plane) <= 1).all()
    assert (changed.ravel()[8 * len(message) :] == plane.ravel()[8 * len(message) :]).all()


def test_bit_orders() -> None:
    plane = np.zeros((1, 24), dtype=np.uint8)
    assert embeddings.embed_palette(plane, b"A", "msb-first")[0, :8].tolist() == [0, 1, 0, 0, 0, 0, 0, 1]
    assert embeddings.embed_palette(plane, b"A", "lsb-first")[0, :8].tolist() == [1, 0, 0, 0, 0, 0, 1, 0]


def test_lsb_uses_red_green_blue_in_order() -> None:
    changed = embeddings.embed_lsb(np.zeros((1, 8, 3), dtype=np.uint8), b"\x01\x80", "lsb-first")
    assert changed[0, 0].tolist() == [1, 0, 0]
    assert changed[0, 5].tolist() == [1, 0, 0]


def test_rejects_payload_larger_than_plane() -> None:
    with pytest.raises(ValueError, match="does not fit"):
        embeddings.embed_palette(np.zeros((3, 5), dtype=np.uint8), b"a", "lsb-first")
    embeddings.embed_palette(np.zeros((4, 4), dtype=np.uint8), b"a", "lsb-first")


CATEGORY = {"alpha": "pixel", "palette": "pixel", "lsb.rgb": "pixel", "exif": "metadata", "raw": "eoi"}
ALLOWED = {
    "alpha": {"PNG", "WEBP"},
    "palette": {"GIF", "PNG", "BMP"},
    "lsb.rgb": {"PNG", "BMP", "WEBP"},
    "exif": {"JPEG", "PNG", "WEBP"},
    "raw": {"JPEG", "PNG", "GIF", "WEBP"},
}
NAME_OF = {"alpha": "alpha", "palette": "palette", "lsb.rgb": "lsb", "exif": "exif", "raw": "eoi"}


@pytest.mark.slow
def test_every_payload_of_a_dataset_can_be_extracted(synthetic: Path) -> None:
    seen: Counter[tuple[str, str, str | None]] = Counter()
    kinds: Counter[str] = Counter()
    accented = 0
    for path in sorted((synthetic / "stego").glob("*[!n]")):
        if path.suffix == ".json":
            continue
        note = json.loads((path.parent / f"{path.name}.json").read_text())
        embedding, data = note["embedding"], path.read_bytes()
        technique, order, length = embedding["technique"], embedding["bit_order"], note["payload_bytes"]
        match technique:
            case "exif":
                payload = read_comment(data)
            case "raw":
                payload = read_tail(data)[-length:]
            case _:
                payload = read_pixels(data, technique, order)
        if technique == "alpha":
            assert payload.startswith(b"AI42")
            payload = payload[4:]
        text = payload.decode()
        assert len(payload) == length >= (120 if embedding["category"] != "pixel" else 300)
        assert all(char.isprintable() or char in "\n\r\t" for char in text), path.name
        assert embedding["category"] == CATEGORY[technique]
        assert embedding["ai42"] == (technique == "alpha")
        kind, method, index = path.stem.split("_")
        assert method == NAME_OF[technique]
        assert index.isdecimal()
        with Image.open(path) as image:
            assert image.format in ALLOWED[technique]
            seen[technique, image.format, order] += 1
        kinds[kind] += 1
        accented += not text.isascii()
    assert seen.total() == 400
    for technique, formats in ALLOWED.items():
        orders = {"palette": ["lsb-first", "msb-first"], "lsb.rgb": ["lsb-first", "msb-first"], "alpha": ["lsb-first"]}
        for name in formats:
            for order in orders.get(technique, [None]):
                assert seen[technique, name, order] > 0, (technique, name, order)
    assert {"prose", "json", "code", "base64", "numbers"} <= set(kinds)
    assert 5 <= accented <= 60


@pytest.mark.slow
def test_paired_stego_file_differs_from_clean_file_only_by_payload(synthetic: Path) -> None:
    pairs = 0
    for path in sorted((synthetic / "stego").glob("*.json")):
        note = json.loads(path.read_text())
        if note["clean_file"] is None:
            continue
        pairs += 1
        stego, clean = path.with_suffix("").read_bytes(), (synthetic / "clean" / note["clean_file"]).read_bytes()
        technique = note["embedding"]["technique"]
        if technique == "raw":
            assert stego[: len(clean)] == clean
            assert len(stego) == len(clean) + note["payload_bytes"] + 1
            continue
        with Image.open(io.BytesIO(stego)) as one, Image.open(io.BytesIO(clean)) as other:
            assert (one.size, one.format) == (other.size, other.format)
            if one.mode != other.mode:
                # WebP drops a fully opaque alpha plane; a plane with a payload is not fully opaque.
                assert (technique, one.mode, other.mode, one.format) == ("alpha", "RGBA", "RGB", "WEBP")
            mode = one.mode
            left, right = np.asarray(one), np.asarray(other if other.mode == mode else other.convert(mode))
            assert np.abs(left.astype(int) - right.astype(int)).max() == (0 if technique == "exif" else 1)
    assert pairs == 100


@pytest.mark.slow
def test_clean_files_contain_no_long_text(synthetic: Path) -> None:
    for path in sorted((synthetic / "clean").iterdir()):
        data = path.read_bytes()
        with Image.open(io.BytesIO(data)) as image:
            image.load()
            exif = image.info.get("exif", b"")
        runs = [
            len(run)
            for run in exif.replace(b" ", b"\x00").split(b"\x00")
            if run.isascii() and run.decode().isprintable()
        ]
        assert max(runs, default=0) <= 44, path.name
        assert b"AI42" not in data
