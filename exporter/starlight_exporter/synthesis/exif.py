"""EXIF blocks: serialisation, and random content as written by cameras and editors."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field, replace
from fractions import Fraction

import numpy as np

from starlight_exporter.synthesis.random_choice import choose, log_uniform

Rng = np.random.Generator

ASCII, SHORT, LONG, RATIONAL, UNDEFINED, SRATIONAL = 2, 3, 4, 5, 7, 10
EXIF_IFD, GPS_IFD, INTEROPERABILITY_IFD = 0x8769, 0x8825, 0xA005
USER_COMMENT, MAKER_NOTE = 0x9286, 0x927C

MAX_MAKER_NOTE = 4500
"""Makes long blocks equally frequent with and without a payload. Real cameras write up to about 40,000 bytes."""
MAX_FILL = 2500
MAX_CARRIER_EXIF = 1800
"""The detector reads 2,048 bytes of EXIF and tail in total; a longer block would leave no space for a payload."""


@dataclass(frozen=True, slots=True)
class ExifEntry:
    """One field of an image file directory: TIFF tag, type, and values as integers, fractions or bytes."""

    tag: int
    kind: int
    value: bytes | tuple[int, ...] | tuple[Fraction, ...]


Directory = dict[int, ExifEntry]


@dataclass(frozen=True, slots=True)
class ExifFields:
    """The directories of one EXIF block; empty ones are omitted. `little` means little-endian.

    `interoperability` is the directory of that name; `thumbnail` is a JPEG file, described in a second main directory.
    """

    main: Directory
    exif: Directory
    gps: Directory
    little: bool
    interoperability: Directory = field(default_factory=dict)
    thumbnail: bytes = b""

    def with_user_comment(self, value: bytes) -> ExifFields:
        """Return a copy with UserComment set to `value`."""
        comment = ExifEntry(USER_COMMENT, UNDEFINED, value)
        return replace(self, exif={**self.exif, USER_COMMENT: comment})

    def truncated_to(self, limit: int) -> ExifFields:
        """Return a copy with MakerNote and UserComment cut so that the block has at most `limit` bytes, if possible."""
        exif = dict(self.exif)
        for tag in (MAKER_NOTE, USER_COMMENT):
            value = exif[tag].value if tag in exif else b""
            excess = len(exif_bytes(replace(self, exif=exif))) - limit
            if excess > 0 and isinstance(value, bytes) and value:
                exif[tag] = ExifEntry(tag, UNDEFINED, value[: max(0, len(value) - excess)])
        return replace(self, exif=exif)


def exif_bytes(fields: ExifFields) -> bytes:
    """Return the EXIF block as stored in files (`Exif`, two zero bytes, TIFF), by TIFF 6.0 and EXIF 2.3."""
    order = "<" if fields.little else ">"
    main, exif = dict(fields.main), dict(fields.exif)
    # Pointers have a fixed size, so a first pass with zeros gives the offsets of the directories.
    if fields.interoperability:
        exif[INTEROPERABILITY_IFD] = ExifEntry(INTEROPERABILITY_IFD, LONG, (0,))
    for tag, directory in ((EXIF_IFD, exif), (GPS_IFD, fields.gps)):
        if directory:
            main[tag] = ExifEntry(tag, LONG, (0,))
    at = 8 + len(_directory_bytes(main, 8, order))
    blocks = b""
    if exif:
        main[EXIF_IFD] = ExifEntry(EXIF_IFD, LONG, (at,))
        interoperability_at = at + len(_directory_bytes(exif, at, order))
        if fields.interoperability:
            exif[INTEROPERABILITY_IFD] = ExifEntry(INTEROPERABILITY_IFD, LONG, (interoperability_at,))
        blocks += _directory_bytes(exif, at, order)
        if fields.interoperability:
            blocks += _directory_bytes(fields.interoperability, interoperability_at, order)
    if fields.gps:
        main[GPS_IFD] = ExifEntry(GPS_IFD, LONG, (at + len(blocks),))
        blocks += _directory_bytes(fields.gps, at + len(blocks), order)
    second_at = 0
    if fields.thumbnail:
        second_at = at + len(blocks)
        blocks += _thumbnail_directory(fields.thumbnail, second_at, order)
    head = (b"II" if fields.little else b"MM") + struct.pack(order + "HI", 42, 8)
    return b"Exif\x00\x00" + head + _directory_bytes(main, 8, order, second_at) + blocks


def _thumbnail_directory(thumbnail: bytes, offset: int, order: str) -> bytes:
    """Return the second main directory, at `offset`, followed by the thumbnail that it describes."""

    def directory(thumbnail_at: int) -> bytes:
        entries: Directory = {}
        _put(entries, 0x0103, SHORT, (6,))
        _put(entries, 0x011A, RATIONAL, (Fraction(72),))
        _put(entries, 0x011B, RATIONAL, (Fraction(72),))
        _put(entries, 0x0128, SHORT, (2,))
        _put(entries, 0x0201, LONG, (thumbnail_at,))
        _put(entries, 0x0202, LONG, (len(thumbnail),))
        return _directory_bytes(entries, offset, order)

    return directory(offset + len(directory(0))) + thumbnail


def _directory_bytes(directory: Directory, offset: int, order: str, following: int = 0) -> bytes:
    entries = [directory[tag] for tag in sorted(directory)]
    table = struct.pack(order + "H", len(entries))
    data = b""
    data_at = offset + 2 + 12 * len(entries) + 4
    for entry in entries:
        raw, count = _value_bytes(entry, order)
        if len(raw) <= 4:
            field = raw.ljust(4, b"\x00")
        else:
            field = struct.pack(order + "I", data_at + len(data))
            data += raw + b"\x00" * (len(raw) % 2)
        table += struct.pack(order + "HHI", entry.tag, entry.kind, count) + field
    return table + struct.pack(order + "I", following) + data


def _value_bytes(entry: ExifEntry, order: str) -> tuple[bytes, int]:
    value = entry.value
    if isinstance(value, bytes):
        raw = value + b"\x00" if entry.kind == ASCII else value
        return raw, len(raw)
    if entry.kind in (RATIONAL, SRATIONAL):
        code = "II" if entry.kind == RATIONAL else "ii"
        fractions = [Fraction(item) for item in value]
        return b"".join(struct.pack(order + code, f.numerator, f.denominator) for f in fractions), len(value)
    code = "H" if entry.kind == SHORT else "I"
    return b"".join(struct.pack(order + code, int(item)) for item in value), len(value)


CAMERAS = (
    ("Canon", "Canon EOS 80D", "Firmware Version 1.0.2"),
    ("NIKON CORPORATION", "NIKON D750", "Ver.1.15"),
    ("SONY", "ILCE-7M3", "ILCE-7M3 v3.10"),
    ("Apple", "iPhone 12", "16.5.1"),
    ("samsung", "SM-G991B", "G991BXXU5CVGB"),
    ("Google", "Pixel 6", "HDR+ 1.0.345618096zd"),
    ("FUJIFILM", "X-T30", "Digital Camera X-T30 Ver1.20"),
    ("OLYMPUS CORPORATION", "E-M10MarkIII", "Version 1.3"),
    ("Xiaomi", "Redmi Note 9", "merlin-user 11"),
    ("Panasonic", "DMC-GX80", "Ver.1.3"),
    ("HP", "HP Scanjet 4370", "HP Scan"),
)
EDITORS = (
    "GIMP 2.10.34",
    "Adobe Photoshop 24.1 (Windows)",
    "darktable 4.2.1",
    "paint.net 4.3",
    "ImageMagick 7.1.0-19",
    "",
)
DESCRIPTIONS = (
    "",
    " " * 31,
    "OLYMPUS DIGITAL CAMERA",
    "DCIM/100MEDIA/DJI_0042.JPG",
    "Screenshot",
    "untitled",
    "SONY DSC",
)
COMMENTS = (
    "Hdr 0, Mode auto",
    "Created with GIMP",
    "Screenshot",
    "ISO auto",
    "filter: 0; fileterIntensity: 0.0; ",
    "AppleMark",
)


def camera_exif(rng: Rng, width: int, height: int) -> ExifFields:
    """Return a random benign EXIF block, as written by an editor or by a camera (MakerNote, GPS, comment)."""
    little = bool(rng.random() < 0.6)
    if rng.random() < 0.15:
        return _sparse_exif(rng, little)
    make, model, software = choose(rng, CAMERAS)
    when = _timestamp(rng)
    main: Directory = {}
    exif: Directory = {}
    if rng.random() < 0.4:
        _put(main, 0x010E, ASCII, choose(rng, DESCRIPTIONS).encode())
    _put(main, 0x010F, ASCII, make.encode())
    _put(main, 0x0110, ASCII, model.encode())
    _put(main, 0x0112, SHORT, (int(rng.choice([1, 1, 1, 1, 3, 6, 8])),))
    resolution = int(rng.choice([72, 96, 180, 300, 350]))
    _put(main, 0x011A, RATIONAL, (Fraction(resolution),))
    _put(main, 0x011B, RATIONAL, (Fraction(resolution),))
    _put(main, 0x0128, SHORT, (2,))
    if rng.random() < 0.7:
        _put(main, 0x0131, ASCII, software.encode())
    _put(main, 0x0132, ASCII, when)
    if rng.random() < 0.5:
        _put(main, 0x0213, SHORT, (int(rng.integers(1, 3)),))
    _exposure(rng, exif, when)
    if rng.random() < 0.5:
        _put(exif, 0xA002, LONG, (width,))
        _put(exif, 0xA003, LONG, (height,))
    if rng.random() < 0.65:
        _put(exif, MAKER_NOTE, UNDEFINED, maker_note(rng, make))
    if rng.random() < 0.5:
        _put(exif, USER_COMMENT, UNDEFINED, camera_comment(rng))
    gps = _gps(rng) if rng.random() < 0.35 else {}
    return ExifFields(main, exif, gps, little)


def _put(directory: Directory, tag: int, kind: int, value: bytes | tuple[int, ...] | tuple[Fraction, ...]) -> None:
    directory[tag] = ExifEntry(tag, kind, value)


def _sparse_exif(rng: Rng, little: bool) -> ExifFields:
    main: Directory = {}
    exif: Directory = {}
    _put(main, 0x0112, SHORT, (1,))
    if rng.random() < 0.7:
        _put(main, 0x0131, ASCII, choose(rng, EDITORS).encode())
    if rng.random() < 0.5:
        _put(main, 0x0132, ASCII, _timestamp(rng))
    if rng.random() < 0.4:
        _put(exif, USER_COMMENT, UNDEFINED, camera_comment(rng))
    return ExifFields(main, exif, {}, little)


def _timestamp(rng: Rng) -> bytes:
    year, month, day = rng.integers(2004, 2025), rng.integers(1, 13), rng.integers(1, 29)
    hour, minute, second = rng.integers(0, 24), rng.integers(0, 60), rng.integers(0, 60)
    return f"{year}:{month:02d}:{day:02d} {hour:02d}:{minute:02d}:{second:02d}".encode()


def _exposure(rng: Rng, exif: Directory, when: bytes) -> None:
    _put(exif, 0x829A, RATIONAL, (Fraction(1, int(rng.integers(8, 4000))),))
    _put(exif, 0x829D, RATIONAL, (Fraction(int(rng.integers(14, 160)), 10),))
    _put(exif, 0x8827, SHORT, (int(rng.choice([50, 100, 125, 200, 400, 640, 800, 1600, 3200])),))
    _put(exif, 0x9000, UNDEFINED, b"0230")
    _put(exif, 0x9003, ASCII, when)
    _put(exif, 0x9004, ASCII, when)
    _put(exif, 0x9101, UNDEFINED, b"\x01\x02\x03\x00")
    if rng.random() < 0.7:
        _put(exif, 0x9204, SRATIONAL, (Fraction(int(rng.integers(-6, 7)), 3),))
        _put(exif, 0x9207, SHORT, (int(rng.integers(1, 6)),))
    _put(exif, 0x9209, SHORT, (int(rng.choice([0, 1, 16, 24])),))
    _put(exif, 0x920A, RATIONAL, (Fraction(int(rng.integers(40, 2000)), 10),))
    if rng.random() < 0.6:
        for tag in (0x9290, 0x9291, 0x9292):
            _put(exif, tag, ASCII, f"{rng.integers(0, 1000):03d}".encode())
    _put(exif, 0xA001, SHORT, (1,))
    if rng.random() < 0.3:
        _put(exif, 0xA434, ASCII, b"EF-S18-55mm f/3.5-5.6 IS II")


def _gps(rng: Rng) -> Directory:
    gps: Directory = {}

    def angle(limit: int) -> tuple[Fraction, ...]:
        return (
            Fraction(int(rng.integers(0, limit))),
            Fraction(int(rng.integers(0, 60))),
            Fraction(int(rng.integers(0, 6000)), 100),
        )

    _put(gps, 0, 1, b"\x02\x03\x00\x00")
    _put(gps, 1, ASCII, choose(rng, (b"N", b"S")))
    _put(gps, 2, RATIONAL, angle(90))
    _put(gps, 3, ASCII, choose(rng, (b"E", b"W")))
    _put(gps, 4, RATIONAL, angle(180))
    _put(gps, 6, RATIONAL, (Fraction(int(rng.integers(0, 30000)), 10),))
    _put(gps, 29, ASCII, _timestamp(rng)[:10])
    return gps


def maker_note(rng: Rng, make: str) -> bytes:
    """Return a random MakerNote of 100 to MAX_MAKER_NOTE bytes: the maker's tag, then a table, zero runs or noise."""
    size = round(log_uniform(rng, 100, MAX_MAKER_NOTE))
    head = make.encode()[:5] + b"\x00\x01\x00"
    style = rng.random()
    if style < 0.4:
        body = rng.integers(0, 256, size, dtype=np.uint8)
        body[rng.random(size) < rng.uniform(0.2, 0.8)] = 0
    elif style < 0.75:
        # Like a directory: small numbers in 16-bit and 32-bit fields.
        values = rng.integers(0, 4096, size // 4 + 1, dtype=np.uint32)
        body = np.frombuffer(values.tobytes(), dtype=np.uint8)[:size]
    else:
        body = rng.integers(0, 256, size, dtype=np.uint8)
    return (head + body.tobytes())[:size]


def camera_comment(rng: Rng) -> bytes:
    """Return a UserComment as cameras write it: empty, padded with one byte to any length, or up to 40 characters."""
    style = rng.random()
    prefix = b"ASCII\x00\x00\x00"
    if style < 0.15:
        return prefix
    if style < 0.7:
        padding = choose(rng, (b" ", b" ", b"\x00", b"\x00", b"\xff"))
        # Lengths used by cameras, and arbitrary ones, so that no length indicates a payload.
        size = choose(rng, (12, 37, 44, 64, 120, 125, 256, 264)) if style < 0.4 else 0
        body = padding * (size or round(log_uniform(rng, 8, MAX_FILL)))
        return body if padding == b"\x00" else prefix + body
    text = choose(rng, COMMENTS).encode()
    return (prefix + text) if style < 0.85 else (text + b"\x00")
