"""EXIF and tail in the stream `meta`, compared with a reference implementation of the model contract."""

from __future__ import annotations

import struct
import zlib

import pytest
from PIL import Image, PngImagePlugin

from starlight_exporter.detector.decoding import decode
from support.stream_reference import assert_equal_streams, encoded, exif_bytes, noise


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP", "TIFF", "MPO"])
def test_reads_exif_of_every_format(image_format: str) -> None:
    data = encoded(noise("RGB", 60, 50), image_format, exif=exif_bytes())
    got = assert_equal_streams(data)
    decoded = decode(data)
    if image_format != "TIFF":
        assert decoded.exif_bytes > 40
        assert b"hello" in decoded.meta
        assert got["meta"].any()


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def test_reads_exif_after_the_pixels_of_a_png() -> None:
    data = encoded(noise("RGB", 60, 50), "PNG")
    end = data.rindex(b"IEND") - 4
    data = data[:end] + chunk(b"eXIf", exif_bytes()[6:]) + data[end:]
    assert_equal_streams(data)
    assert decode(data).exif_bytes == len(exif_bytes())


@pytest.mark.parametrize(("compressed", "length"), [(False, 11), (True, 0)])
def test_png_text_chunk_named_exif_is_used_only_if_pillow_returns_bytes(compressed: bool, length: int) -> None:
    info = PngImagePlugin.PngInfo()
    info.add_text("exif", "just a text", zip=compressed)
    assert decode(encoded(noise("RGB", 20, 20), "PNG", pnginfo=info)).exif_bytes == length


@pytest.mark.parametrize("length", [1, 99, 100, 101, 2047, 2048, 2049, 5000])
@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF"])
def test_reads_the_tail_of_every_format(image_format: str, length: int) -> None:
    image = noise("P" if image_format == "GIF" else "RGB", 64, 64)
    hidden = (b"hidden words " * 400)[:length]
    options = {} if image_format in ("GIF", "BMP", "TIFF") else {"exif": exif_bytes()}
    data = encoded(image, image_format, **options) + hidden
    assert len(data) >= 1000
    assert_equal_streams(data)
    seen = {
        "JPEG": length,
        "GIF": length,
        "PNG": max(0, length - 4),
        "WEBP": length if length > 100 else 0,
        "BMP": 0,
        "TIFF": 0,
    }
    assert decode(data).tail_bytes == seen[image_format]


def test_png_tail_starts_four_bytes_late() -> None:
    data = encoded(noise("RGB", 64, 64), "PNG") + b"0123456789"
    decoded = decode(data)
    assert (decoded.tail_bytes, decoded.meta) == (6, b"456789")


@pytest.mark.parametrize("size", [998, 999, 1000, 1001])
def test_files_shorter_than_1000_bytes_have_no_tail(size: int) -> None:
    data = encoded(Image.new("L", (2, 2)), "GIF")
    data = data.ljust(size, b"x")
    assert_equal_streams(data)
    assert (decode(data).tail_bytes > 0) == (size >= 1000)


def test_tail_is_truncated_before_it_is_appended_to_a_long_exif() -> None:
    data = encoded(noise("RGB", 64, 64), "JPEG", exif=exif_bytes(b"ASCII\0\0\0" + b"e" * 3000)) + b"t" * 3000
    assert_equal_streams(data)
    decoded = decode(data)
    assert (len(decoded.meta), decoded.tail_bytes) == (2048, 3000)
    assert b"t" * 10 not in decoded.meta


def test_tail_starts_after_the_last_end_mark() -> None:
    for image_format, mark in (("JPEG", b"\xff\xd9"), ("GIF", b";"), ("PNG", b"IEND")):
        image = noise("P" if image_format == "GIF" else "RGB", 64, 64)
        assert_equal_streams(encoded(image, image_format) + b"one" + mark + b"twelve bytes" * 3)
