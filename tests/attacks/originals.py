"""Images in every format and mode that the decoder meets, and files that cost more than they seem to."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

import numpy as np
from PIL import Image

_SIZE: Final = (64, 48)
_Options = Mapping[str, object]

_VARIANTS: Final[tuple[tuple[str, str, _Options], ...]] = (
    *(("PNG", mode, {}) for mode in ("RGB", "RGBA", "P", "L", "LA", "1", "I;16")),
    ("PNG", "RGB", {"exif": b"Exif\0\0II*\0\x08\0\0\0\0\0\0\0"}),
    *(("JPEG", mode, {}) for mode in ("RGB", "L", "CMYK")),
    ("JPEG", "RGB", {"progressive": True, "exif": b"Exif\0\0II*\0\x08\0\0\0\0\0\0\0"}),
    *(("GIF", mode, {}) for mode in ("P", "L")),
    ("WEBP", "RGB", {"lossless": True}),
    ("WEBP", "RGB", {"quality": 70}),
    ("WEBP", "RGBA", {"quality": 70}),
    *(("BMP", mode, {}) for mode in ("RGB", "P", "1", "L")),
    *(("TIFF", mode, {}) for mode in ("RGB", "CMYK", "P", "I;16", "RGBA")),
    *(("TIFF", "RGB", {"compression": name}) for name in ("tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg")),
    *(("AVIF", mode, {"speed": 10}) for mode in ("RGB", "RGBA")),
    *(("JPEG2000", mode, {}) for mode in ("RGB", "RGBA", "L")),
    ("JPEG2000", "RGB", {"no_jp2": True, "tile_size": (32, 32)}),
    *((name, "RGB", {}) for name in ("PPM", "TGA", "PCX", "ICO", "SGI", "DDS", "EPS", "ICNS")),
)
_ANIMATED: Final[tuple[tuple[str, _Options], ...]] = (
    ("GIF", {"disposal": 2, "duration": 20}),
    ("WEBP", {"duration": 20}),
    ("PNG", {"duration": 20}),
    ("AVIF", {"speed": 10}),
    ("TIFF", {}),
    ("MPO", {}),
)


def originals(covers: Path | None) -> list[bytes]:
    """Return one image for each format and mode, animated ones, and up to 60 small files of a folder of covers."""
    found = [_encoded(_image(mode, seed), name, options) for seed, (name, mode, options) in enumerate(_VARIANTS)]
    frames = [_image("RGB", seed) for seed in range(3)]
    found += [
        _encoded(frames[0], name, {**options, "save_all": True, "append_images": frames[1:]})
        for name, options in _ANIMATED
    ]
    if covers is not None:
        files = (file for file in sorted(covers.rglob("*")) if file.is_file() and file.stat().st_size < 80_000)
        found += [file.read_bytes() for _, file in zip(range(60), files, strict=False)]
    return found


def _image(mode: str, seed: int) -> Image.Image:
    noise = np.random.default_rng(seed).integers(0, 256, (_SIZE[1], _SIZE[0], 4)).astype(np.uint8)
    if mode == "I;16":
        return Image.fromarray(noise[..., 0].astype(np.uint16) * 257)
    return Image.fromarray(noise).convert(mode)


def _encoded(image: Image.Image, name: str, options: _Options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, name, **options)
    return buffer.getvalue()


def bombs() -> Iterator[tuple[str, bytes]]:
    """Yield small files with huge declared or real dimensions, by name; most of them are valid images."""
    yield "disposal.gif", gif_with_huge_frame()
    yield "nested.png", iptc_with_nested_image(20_000)
    yield (
        "header-only.png",
        _png_chunk(b"IHDR", struct.pack(">IIBBBBB", 2**31 - 1, 2**31 - 1, 8, 6, 0, 0, 0), first=True),
    )
    yield "gray-1-bit.png", png_of_zeros(30_000, 30_000, depth=1, colour=0)
    yield "rgba-16-bit.png", png_of_zeros(5_000, 5_000, depth=16, colour=6)
    # Within the default limit of 64 megapixels: these are decoded.
    yield "rgb.png", png_of_zeros(8_000, 8_000, depth=8, colour=2)
    yield "rgba.png", png_of_zeros(8_000, 8_000, depth=8, colour=6)
    bomb = zlib.compress(bytes(100_000_000), 9)
    for kind, head in ((b"zTXt", b"Comment\0\0"), (b"iCCP", b"profile\0\0"), (b"iTXt", b"Comment\0\1\0\0\0")):
        small = _encoded(_image("RGB", 1), "PNG", {})
        yield f"{kind.decode()}.png", small[:33] + _png_chunk(kind, head + bomb) + small[33:]
    many = _encoded(_image("RGB", 2), "PNG", {})
    yield "chunks.png", many[:33] + _png_chunk(b"tEXt", b"a\0b") * 50_000 + many[33:]
    jpeg = _encoded(Image.new("RGB", (4_000, 4_000)), "JPEG", {"progressive": True})
    yield "scans.jpg", _with_repeated_scan(jpeg, 2_000)
    yield "dimensions.jpg", _with_jpeg_size(_encoded(_image("RGB", 3), "JPEG", {}), 65_535, 65_535)
    yield "frames.gif", _gif_of_many_frames(3_000)
    yield "deflate.tif", _encoded(Image.new("RGB", (8_000, 8_000)), "TIFF", {"compression": "tiff_adobe_deflate"})
    yield (
        "lossless.webp",
        _encoded(Image.new("RGB", (7_000, 7_000)), "WEBP", {"lossless": True, "quality": 0, "method": 0}),
    )
    yield "comment.ppm", b"P6\n#" + b"x" * 5_000_000 + b"\n1 1\n255\nabc"
    yield (
        "sizes.bmp",
        b"BM" + struct.pack("<IIIIiiHHIIiiII", 54, 0, 54, 40, 2**31 - 1, -(2**31), 1, 24, 0, 0, 0, 0, 0, 0),
    )
    yield "itself.tif", b"II*\0" + struct.pack("<IHHHIII", 8, 1, 256, 4, 1, 100, 8)
    yield "count.tif", b"II*\0" + struct.pack("<IHHHIII", 8, 1, 273, 4, 2**31, 8, 0)
    yield "empty.png", b""


def gif_with_huge_frame() -> bytes:
    """Return 43 bytes of a GIF whose only frame is 65,535×65,535 pixels and is disposed of to the background."""
    screen = b"GIF89a" + struct.pack("<HHBBB", 0xFFFF, 0xFFFF, 0x80, 0, 0) + b"\0\0\0\xff\xff\xff"
    frame = struct.pack("<BHHHHB", 0x2C, 0, 0, 0xFFFF, 0xFFFF, 0)
    return screen + b"\x21\xf9\x04\x08\0\0\0\0" + frame + b"\2\2\x44\1\0\x3b"


def iptc_with_nested_image(side: int) -> bytes:
    """Return an IPTC file of 8×8 pixels whose data is a PNG of `side` × `side` pixels."""
    records = ((3, 60, b"\1\0"), (3, 20, b"\0\x08"), (3, 30, b"\0\x08"), (3, 120, b"\5"))
    header = b"".join(struct.pack(">BBBH", 0x1C, *tag, len(value)) + value for *tag, value in records)
    return header + struct.pack(">BBBH", 0x1C, 8, 10, 30_000) + png_of_zeros(side, side, depth=8, colour=0)


def png_of_zeros(width: int, height: int, *, depth: int, colour: int, rows: int | None = None) -> bytes:
    """Return a black PNG, about a thousandth of the size of its pixels; by default complete, else with few rows."""
    channels = {0: 1, 2: 3, 6: 4}[colour]
    rows = height if rows is None else rows
    row = bytes(1 + (width * channels * depth + 7) // 8) if rows else b""
    compressor = zlib.compressobj(1)
    pixels = b"".join(compressor.compress(row) for _ in range(rows)) + compressor.flush()
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return _png_chunk(b"IHDR", header, first=True) + _png_chunk(b"IDAT", pixels) + _png_chunk(b"IEND", b"")


def _png_chunk(kind: bytes, content: bytes, *, first: bool = False) -> bytes:
    checksum = zlib.crc32(kind + content)
    chunk = struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)
    return (b"\x89PNG\r\n\x1a\n" if first else b"") + chunk


def _with_repeated_scan(jpeg: bytes, times: int) -> bytes:
    """Repeat the last scan of a progressive JPEG: a decoder passes over all coefficients for each."""
    start = jpeg.rindex(b"\xff\xda")
    return jpeg[:-2] + jpeg[start:-2] * times + b"\xff\xd9"


def _with_jpeg_size(jpeg: bytes, width: int, height: int) -> bytes:
    at = jpeg.index(b"\xff\xc0") + 5
    return jpeg[:at] + struct.pack(">HH", height, width) + jpeg[at + 4 :]


def _gif_of_many_frames(frames: int) -> bytes:
    screen = b"GIF89a" + struct.pack("<HHBBB", 5_000, 5_000, 0x80, 0, 0) + b"\0\0\0\xff\xff\xff"
    frame = b"\x21\xf9\x04\x08\0\0\0\0" + struct.pack("<BHHHHB", 0x2C, 4_999, 4_999, 1, 1, 0) + b"\2\2\x44\1\0"
    return screen + frame * frames + b"\x3b"
