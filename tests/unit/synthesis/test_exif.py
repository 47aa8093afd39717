"""EXIF blocks: readable by Pillow and piexif, benign comments are short."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import piexif
import pytest
from PIL import Image

from starlight_exporter.synthesis import exif


@pytest.mark.parametrize("seed", range(60))
def test_pillow_and_piexif_read_camera_blocks(seed: int) -> None:
    fields = exif.camera_exif(np.random.default_rng(seed), 320, 200)
    block = exif.exif_bytes(fields)
    assert len(exif.exif_bytes(fields.truncated_to(exif.MAX_CARRIER_EXIF))) <= exif.MAX_CARRIER_EXIF
    by_piexif = piexif.load(block)
    assert set(by_piexif["0th"]) == {
        *fields.main,
        *([0x8769] if fields.exif else []),
        *([0x8825] if fields.gps else []),
    }
    assert set(by_piexif["Exif"]) == set(fields.exif)
    assert set(by_piexif["GPS"]) == set(fields.gps)
    by_pillow = Image.Exif()
    by_pillow.load(block)
    assert by_pillow[0x0112] == by_piexif["0th"][0x0112]
    assert set(by_pillow.get_ifd(0x8769)) == set(fields.exif)
    comment = by_piexif["Exif"].get(exif.USER_COMMENT, b"").removeprefix(b"ASCII\x00\x00\x00")
    assert len(comment.strip(b" \x00\xff")) <= 40


def test_truncation_only_cuts_maker_note_and_comment() -> None:
    rng = np.random.default_rng(7)
    blocks = [exif.camera_exif(rng, 320, 200) for _ in range(200)]
    long = [block for block in blocks if len(exif.exif_bytes(block)) > exif.MAX_CARRIER_EXIF]
    assert len(long) > 20
    for block in long:
        cut = block.truncated_to(exif.MAX_CARRIER_EXIF)
        assert len(exif.exif_bytes(cut)) in (exif.MAX_CARRIER_EXIF - 1, exif.MAX_CARRIER_EXIF)
        assert (cut.main, cut.gps) == (block.main, block.gps)
        assert {tag: value for tag, value in cut.exif.items() if tag not in (exif.MAKER_NOTE, exif.USER_COMMENT)} == {
            tag: value for tag, value in block.exif.items() if tag not in (exif.MAKER_NOTE, exif.USER_COMMENT)
        }
    assert all(block.truncated_to(100_000) == block for block in blocks)


def test_values_of_every_type_round_trip() -> None:
    main = {
        0x010F: exif.ExifEntry(0x010F, exif.ASCII, b"Maker"),
        0x0112: exif.ExifEntry(0x0112, exif.SHORT, (6,)),
        0x011A: exif.ExifEntry(0x011A, exif.RATIONAL, (Fraction(300),)),
    }
    inner = {
        0x9204: exif.ExifEntry(0x9204, exif.SRATIONAL, (Fraction(-2, 3),)),
        0xA002: exif.ExifEntry(0xA002, exif.LONG, (70_000,)),
        0x927C: exif.ExifEntry(0x927C, exif.UNDEFINED, b"odd"),
    }
    for little in (True, False):
        read = piexif.load(exif.exif_bytes(exif.ExifFields(main, inner, {}, little)))
        assert read["0th"][0x010F] == b"Maker"
        assert read["0th"][0x0112] == 6
        assert read["0th"][0x011A] == (300, 1)
        assert read["Exif"][0x9204] == (-2, 3)
        assert read["Exif"][0xA002] == 70_000
        assert read["Exif"][0x927C] == b"odd"
