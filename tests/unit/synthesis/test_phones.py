"""EXIF of phones is valid for another reader, and has the parts that phones write."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import piexif
from PIL import Image

from starlight_exporter.synthesis.carriers import JPEG_RGB, encode, make_carrier
from starlight_exporter.synthesis.exif import exif_bytes
from starlight_exporter.synthesis.phones import phone_exif, xmp_packet

RGB = np.random.default_rng(2).integers(0, 256, (90, 120, 3), dtype=np.uint8)


def test_all_directories_and_the_thumbnail_are_readable() -> None:
    makes, with_position = set(), 0
    for seed in range(20):
        found = piexif.load(exif_bytes(phone_exif(np.random.default_rng(seed), RGB)))
        makes.add(found["0th"][piexif.ImageIFD.Make])
        assert found["Exif"][piexif.ExifIFD.PixelXDimension] == 120
        assert len(found["Exif"][piexif.ExifIFD.MakerNote]) > 60
        assert found["Interop"][piexif.InteropIFD.InteroperabilityIndex] == b"R98"
        assert found["1st"][piexif.ImageIFD.Compression] == 6
        with_position += bool(found["GPS"])
        with Image.open(io.BytesIO(found["thumbnail"])) as thumbnail:
            assert thumbnail.size == (96, 72)
    assert makes == {b"Apple", b"samsung", b"HUAWEI", b"Google"}
    assert 8 <= with_position < 20


def test_user_comment_keeps_the_other_parts() -> None:
    fields = phone_exif(np.random.default_rng(1), RGB)
    found = piexif.load(exif_bytes(fields.with_user_comment(b"hidden\x00")))
    assert found["Exif"][piexif.ExifIFD.UserComment] == b"hidden\x00"
    assert found["thumbnail"]
    assert found["Interop"]


def test_xmp_is_stored_next_to_exif() -> None:
    rng = np.random.default_rng(1)
    carrier = make_carrier(rng, JPEG_RGB, RGB)
    data = encode(replace(carrier, exif=phone_exif(rng, RGB), xmp=xmp_packet(rng)))
    with Image.open(io.BytesIO(data)) as image:
        image.load()
        assert image.info["exif"].startswith(b"Exif\x00\x00")
        assert b"xmp:CreateDate" in image.info["xmp"]
