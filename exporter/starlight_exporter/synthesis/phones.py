"""Metadata as phones write it: four directories, a structured MakerNote, a thumbnail, and an XMP packet."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from starlight_exporter.synthesis.exif import (
    ASCII,
    LONG,
    MAKER_NOTE,
    RATIONAL,
    SHORT,
    SRATIONAL,
    UNDEFINED,
    Directory,
    ExifEntry,
    ExifFields,
)
from starlight_exporter.synthesis.random_choice import choose, log_uniform

Rng = np.random.Generator
Bytes = NDArray[np.uint8]

THUMBNAIL_SIDE = 96
_OFFSETS = ("+00:00", "+01:00", "+02:00", "-05:00", "+09:00", "-08:00")


def phone_exif(rng: Rng, rgb: Bytes) -> ExifFields:
    """Return random EXIF of a phone for an image (H×W×3), with a thumbnail of it."""
    make, model, lens, little, maker_note = choose(rng, PHONES)
    height, width = rgb.shape[:2]
    day = f"{rng.integers(2016, 2026)}:{rng.integers(1, 13):02d}:{rng.integers(1, 29):02d}"
    when = f"{day} {rng.integers(0, 24):02d}:{rng.integers(0, 60):02d}:{rng.integers(0, 60):02d}"
    software = f"{rng.integers(9, 19)}.{rng.integers(0, 8)}.{rng.integers(0, 3)}"
    main = _entries(
        (0x010F, ASCII, make.encode()),
        (0x0110, ASCII, model.encode()),
        (0x0112, SHORT, (int(rng.choice([1, 1, 3, 6, 8])),)),
        (0x011A, RATIONAL, (Fraction(72),)),
        (0x011B, RATIONAL, (Fraction(72),)),
        (0x0128, SHORT, (2,)),
        (0x0131, ASCII, software.encode()),
        (0x0132, ASCII, when.encode()),
        (0x013C, ASCII, model.encode()),
        (0x0213, SHORT, (1,)),
    )
    offset = choose(rng, _OFFSETS).encode()
    milliseconds = f"{rng.integers(0, 1000):03d}".encode()
    speed = float(log_uniform(rng, 24, 8000))
    exif = _entries(
        (0x829A, RATIONAL, (Fraction(1, round(speed)),)),
        (0x829D, RATIONAL, (Fraction(int(rng.integers(15, 28)), 10),)),
        (0x8822, SHORT, (2,)),
        (0x8827, SHORT, (int(rng.integers(20, 2000)),)),
        (0x9000, UNDEFINED, b"0232"),
        (0x9003, ASCII, when.encode()),
        (0x9004, ASCII, when.encode()),
        (0x9010, ASCII, offset),
        (0x9011, ASCII, offset),
        (0x9012, ASCII, offset),
        (0x9101, UNDEFINED, b"\x01\x02\x03\x00"),
        (0x9201, SRATIONAL, (Fraction(round(1000 * np.log2(speed)), 1000),)),
        (0x9203, SRATIONAL, (Fraction(int(rng.integers(-2000, 9000)), 1000),)),
        (0x9204, SRATIONAL, (Fraction(0),)),
        (0x9207, SHORT, (5,)),
        (0x9209, SHORT, (int(rng.choice([16, 24, 32])),)),
        (0x920A, RATIONAL, (Fraction(int(rng.integers(155, 900)), 100),)),
        (0x9214, SHORT, tuple(int(value) for value in rng.integers(200, 4000, 4))),
        (MAKER_NOTE, UNDEFINED, maker_note(rng)),
        (0x9291, ASCII, milliseconds),
        (0x9292, ASCII, milliseconds),
        (0xA000, UNDEFINED, b"0100"),
        (0xA001, SHORT, (int(rng.choice([1, 65535])),)),
        (0xA002, LONG, (width,)),
        (0xA003, LONG, (height,)),
        (0xA217, SHORT, (2,)),
        (0xA301, UNDEFINED, b"\x01"),
        (0xA402, SHORT, (0,)),
        (0xA403, SHORT, (0,)),
        (0xA405, SHORT, (int(rng.integers(13, 120)),)),
        (0xA406, SHORT, (0,)),
        (0xA433, ASCII, make.encode()),
        (0xA434, ASCII, lens.encode()),
    )
    gps = _gps(rng, day) if rng.random() < 0.7 else {}
    interoperability = _entries((1, ASCII, b"R98"), (2, UNDEFINED, b"0100"))
    return ExifFields(main, exif, gps, little, interoperability, _thumbnail(rng, rgb))


def xmp_packet(rng: Rng) -> bytes:
    """Return a random XMP packet of a phone or an editor, with the usual padding."""
    day = f"{rng.integers(2016, 2026)}-{rng.integers(1, 13):02d}-{rng.integers(1, 29):02d}T12:00:00"
    properties = [f'xmp:CreateDate="{day}"', f'xmp:ModifyDate="{day}"', f'xmp:Rating="{rng.integers(0, 6)}"']
    if rng.random() < 0.5:
        properties.append(f'photoshop:DateCreated="{day}"')
    body = (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/" x:xmptk="XMP Core 6.0.0">'
        '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about="" '
        'xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmlns:photoshop="http://ns.adobe.com/photoshop/1.0/" '
        f"{' '.join(properties)}/></rdf:RDF></x:xmpmeta>"
    )
    padding = " " * int(rng.choice([0, 200, 2000]))
    start = "<?xpacket begin='\ufeff' id='W5M0MpCehiHzreSzNTczkc9d'?>"
    return f"{start}{body}{padding}<?xpacket end='w'?>".encode()


def _entries(*rows: tuple[int, int, bytes | tuple[int, ...] | tuple[Fraction, ...]]) -> Directory:
    return {tag: ExifEntry(tag, kind, value) for tag, kind, value in rows}


def _gps(rng: Rng, day: str) -> Directory:
    def angle(limit: int) -> tuple[Fraction, ...]:
        degrees, minutes, hundredths = rng.integers(0, limit), rng.integers(0, 60), rng.integers(0, 6000)
        return Fraction(int(degrees)), Fraction(int(minutes)), Fraction(int(hundredths), 100)

    return _entries(
        (1, ASCII, choose(rng, (b"N", b"S"))),
        (2, RATIONAL, angle(90)),
        (3, ASCII, choose(rng, (b"E", b"W"))),
        (4, RATIONAL, angle(180)),
        (5, 1, b"\x00"),
        (6, RATIONAL, (Fraction(int(rng.integers(0, 300_000)), 100),)),
        (7, RATIONAL, angle(24)),
        (12, ASCII, b"K"),
        (13, RATIONAL, (Fraction(int(rng.integers(0, 2000)), 100),)),
        (16, ASCII, b"T"),
        (17, RATIONAL, (Fraction(int(rng.integers(0, 36_000)), 100),)),
        (29, ASCII, day.encode()),
        (31, RATIONAL, (Fraction(int(rng.integers(300, 6000)), 100),)),
    )


def _thumbnail(rng: Rng, rgb: Bytes) -> bytes:
    image = Image.fromarray(rgb)
    image.thumbnail((THUMBNAIL_SIDE, THUMBNAIL_SIDE), Image.Resampling.BOX)
    out = io.BytesIO()
    image.save(out, "JPEG", quality=int(rng.integers(50, 80)))
    return out.getvalue()


def _note_directory(rng: Rng, head: bytes, order: str, tags: int) -> bytes:
    """Return a MakerNote that is a directory of its own after `head`, with numbers and a few blocks."""
    table = struct.pack(order + "H", tags)
    offset = len(head) + 2 + 12 * tags + 4
    blocks = b""
    for tag in range(1, tags + 1):
        if tag % 5 == 3:
            block = rng.bytes(int(rng.integers(8, 200)))
            table += struct.pack(order + "HHII", tag, UNDEFINED, len(block), offset + len(blocks))
            blocks += block + b"\x00" * (len(block) % 2)
        else:
            table += struct.pack(order + "HHII", tag, LONG, 1, int(rng.integers(0, 1 << int(rng.integers(2, 31)))))
    return head + table + b"\x00\x00\x00\x00" + blocks


def _big_endian_note(rng: Rng) -> bytes:
    return _note_directory(rng, b"Maker iOS\x00\x00\x01MM", ">", int(rng.integers(12, 40)))


def _little_endian_note(rng: Rng) -> bytes:
    return _note_directory(rng, b"", "<", int(rng.integers(6, 20)))


def _encrypted_note(rng: Rng) -> bytes:
    return b"HDRP\x02" + rng.bytes(round(log_uniform(rng, 500, 8000)))


PHONES: tuple[tuple[str, str, str, bool, Callable[[Rng], bytes]], ...] = (
    ("Apple", "iPhone 13 mini", "iPhone 13 mini back dual wide camera 5.1mm f/1.6", False, _big_endian_note),
    (
        "Apple",
        "iPhone SE (2nd generation)",
        "iPhone SE (2nd generation) back camera 3.99mm f/1.8",
        False,
        _big_endian_note,
    ),
    ("samsung", "SM-A546B", "Samsung Galaxy A54 Rear Camera", True, _little_endian_note),
    ("HUAWEI", "ELE-L29", "HUAWEI P30 Rear Camera", False, _little_endian_note),
    ("Google", "Pixel 7", "Pixel 7 back camera 6.81mm f/1.85", True, _encrypted_note),
)
"""Make, model, lens, byte order (little-endian), and generator of the MakerNote."""
