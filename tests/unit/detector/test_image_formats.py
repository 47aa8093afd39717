"""Image formats: which are decoded, and limits that hold before Pillow allocates memory for a file."""

from __future__ import annotations

import io
import struct
import subprocess
import sys
import textwrap
import zlib

import pytest
from PIL import Image

from starlight_exporter.detector.contract import DEFAULT_MAX_PIXELS
from starlight_exporter.detector.decoding import Header, decode, read_header
from starlight_exporter.detector.format_signatures import DECODED_FORMATS, decoded_format
from starlight_exporter.detector.header_limits import (
    MAX_JPEG_EXIF_BYTES,
    MAX_JPEG_SCANS,
    MAX_PNG_COMPRESSED_CHUNKS,
    MAX_TIFF_TAGS,
    MAX_TIFF_VALUES,
)
from starlight_exporter.errors import ImageError
from support.stream_reference import encoded, noise

HUGE_GIF = bytes.fromhex("474946383961ffffffff800000000000ffffff21f9040800000000002c00000000ffffffff00020244010000003b")


def error_of(data: bytes, *, max_pixels: int = DEFAULT_MAX_PIXELS) -> ImageError:
    """Return the error of decoding, which reading the header must raise too if it is no damage."""
    with pytest.raises(ImageError) as caught:
        decode(data, max_pixels=max_pixels)
    if caught.value.reason != "unreadable":
        with pytest.raises(ImageError) as of_header:
            read_header(data, max_pixels=max_pixels)
        assert (str(of_header.value), of_header.value.reason) == (str(caught.value), caught.value.reason)
    return caught.value


# --- formats ---


@pytest.mark.parametrize("image_format", [*DECODED_FORMATS, "MPO"])
def test_header_of_every_format(image_format: str) -> None:
    more = {"save_all": True, "append_images": [noise("RGB", 80, 50)]} if image_format == "MPO" else {}
    data = encoded(noise("RGB", 80, 50), image_format, **more)
    mode = "P" if image_format == "GIF" else "RGB"
    header = read_header(data)
    decoded = decode(data)
    assert (header.pillow_format, header.mode, header.width, header.height) == (image_format, mode, 80, 50)
    assert (decoded.pillow_format, decoded.mode, decoded.width, decoded.height) == (image_format, mode, 80, 50)


OTHER_FORMATS = {
    "ICO": encoded(noise("RGBA", 32, 32), "ICO"),
    "ICNS": encoded(noise("RGBA", 32, 32), "ICNS"),
    "PNM": encoded(noise("RGB", 32, 32), "PPM"),
    "PCX": encoded(noise("RGB", 32, 32), "PCX"),
    "SGI": encoded(noise("RGB", 32, 32), "SGI"),
    "DDS": encoded(noise("RGB", 32, 32), "DDS"),
    "PostScript": encoded(noise("RGB", 32, 32), "EPS"),
    "PDF": encoded(noise("RGB", 32, 32), "PDF"),
    "PSD": b"8BPS\0\1" + bytes(20),
    "SVG": b"<?xml version='1.0'?>\n<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'/>",
    "JPEG XL": b"\xff\x0a" + bytes(20),
    "HEIC or a video": b"\0\0\0\x18ftypheic\0\0\0\0mif1heic",
    "IPTC": b"\x1c\x03\x3c\0\2\1\0" + bytes(20),
    "Windows metafile": b"\xd7\xcd\xc6\x9a\0\0" + bytes(20),
}


@pytest.mark.parametrize("name", OTHER_FORMATS)
def test_other_known_formats_are_unsupported(name: str) -> None:
    error = error_of(OTHER_FORMATS[name])
    assert (error.reason, str(error)) == ("unsupported", f"the format is not supported: {name}")


@pytest.mark.parametrize("data", [b"<!doctype html><html></html>", b"plain text", bytes(100), b"TRUEVISION-XFILE."])
def test_unknown_content_is_unreadable(data: bytes) -> None:
    error = error_of(data)
    assert (error.reason, str(error)) == ("unreadable", "no image format is recognised")


def test_nested_image_of_another_format_is_not_opened() -> None:
    # Pillow's IPTC plugin decodes the PNG inside before its size can be checked.
    png = io.BytesIO()
    Image.new("L", (64, 64)).save(png, "PNG")
    record = b"\x1c\x03\x3c\0\2\1\0\x1c\x03\x14\0\2\0\x08\x1c\x03\x1e\0\2\0\x08\x1c\x03\x78\0\1\5"
    data = record + b"\x1c\x08\x0a" + struct.pack(">H", len(png.getvalue())) + png.getvalue()
    with Image.open(io.BytesIO(data)) as image:
        assert image.format == "IPTC"
    assert error_of(data).reason == "unsupported"


@pytest.mark.parametrize("image_format", DECODED_FORMATS)
def test_signature_is_that_of_pillow(image_format: str) -> None:
    assert decoded_format(encoded(noise("RGB", 20, 20), image_format)) == image_format
    _, accepts = Image.OPEN[image_format]
    assert accepts is not None
    assert accepts(encoded(noise("RGB", 20, 20), image_format)[:16])


@pytest.mark.parametrize("start", [b"MM\0*", b"II*\0", b"MM*\0", b"II\0*", b"MM\0+", b"II+\0"])
def test_every_signature_of_tiff_is_recognised(start: bytes) -> None:
    assert decoded_format(start + bytes(20)) == "TIFF"


def test_container_brand_of_avif_is_recognised_by_the_compatible_brands() -> None:
    data = encoded(noise("RGB", 20, 20), "AVIF")
    assert data[8:12] == b"avif"
    data = data[:8] + b"mif1" + data[12:]
    assert b"avif" in data[16:32]
    assert decode(data).pillow_format == "AVIF"


# --- modes ---


@pytest.mark.parametrize(
    ("image_format", "mode"),
    [("PNG", "I;16"), ("TIFF", "I;16"), ("TIFF", "I"), ("TIFF", "F"), ("JPEG2000", "I;16"), ("TIFF", "LAB")],
)
def test_pixels_of_more_than_8_bits_are_unsupported(image_format: str, mode: str) -> None:
    image = Image.new("LAB", (30, 20)) if mode == "LAB" else noise(mode, 30, 20)
    error = error_of(encoded(image, image_format))
    assert (error.reason, str(error)) == ("unsupported", f"pixels of mode {mode} are not supported")


def test_16_bits_per_colour_channel_are_reduced_to_8() -> None:
    # Unlike grey values, Pillow reads the higher byte of colours.
    rows = b"".join(b"\0" + struct.pack(">3H", 0x1234, 0x5678, 0x9ABC) * 3 for _ in range(2))
    header = struct.pack(">IIBBBBB", 3, 2, 16, 2, 0, 0, 0)
    data = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        for name, body in ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    )
    pixel = decode(data).rgb[:, 128, 128]
    assert pixel.tolist() == [0x12, 0x56, 0x9A]


# --- limits before Pillow allocates ---


def gif(screen: tuple[int, int], frame: tuple[int, int, int, int], *, disposal: int = 2, before: bytes = b"") -> bytes:
    control = b"!\xf9\4" + bytes((disposal << 2, 0, 0, 0)) + b"\0"
    return (
        b"GIF89a"
        + struct.pack("<HHBBB", *screen, 0x80, 0, 0)
        + bytes((0, 0, 0, 255, 255, 255))
        + before
        + control
        + b","
        + struct.pack("<HHHHB", *frame, 0)
        + b"\2\2\x44\1\0;"
    )


GIFS = {
    "screen": gif((65_535, 65_535), (0, 0, 1, 1)),
    "frame": gif((1, 1), (0, 0, 65_535, 65_535)),
    "frame beyond the screen": gif((1, 1), (65_535, 65_535, 65_535, 65_535)),
    "position of the frame": gif((1, 1), (65_535, 65_535, 1, 1)),
    "no disposal": gif((1, 1), (0, 0, 65_535, 65_535), disposal=0),
    # What Pillow reads differently from the specification: an extension whose first block is empty goes on.
    "small frame in an extension": gif(
        (1, 1), (0, 0, 65_535, 65_535), before=b"!\x01\0" + b"\x0a," + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\0"
    ),
    "small frame in a comment": gif(
        (1, 1), (0, 0, 65_535, 65_535), before=b"!\xfe\x0a," + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\0"
    ),
    "unknown bytes": gif((1, 1), (0, 0, 65_535, 65_535), before=b"\0\0xyz"),
    "loop count": gif((1, 1), (0, 0, 65_535, 65_535), before=b"!\xff\x0bNETSCAPE2.0\3\1\0\0\0"),
    "loop count of an empty block": gif((1, 1), (0, 0, 65_535, 65_535), before=b"!\xff\x0bNETSCAPE2.0\0\1,\0"),
}


@pytest.mark.parametrize("data", [HUGE_GIF, *GIFS.values()], ids=["43 bytes", *GIFS])
def test_gif_is_too_large_before_pillow_allocates(data: bytes) -> None:
    error, peak = decoded_in_a_process(data)
    assert error.startswith("too_large: ")
    assert peak < 64


@pytest.mark.parametrize("data", GIFS.values(), ids=GIFS)
def test_pillow_opens_the_gif_with_the_checked_size(data: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    # The same file with a small frame of an unusual size, which Pillow must report.
    small = data.replace(struct.pack("<HH", 65_535, 65_535), struct.pack("<HH", 321, 123))
    monkeypatch.setattr("starlight_exporter.detector.decoding.check_before_opening", lambda *_: None)
    header = read_header(small)
    monkeypatch.undo()
    with pytest.raises(ImageError, match=f"{header.width}×{header.height} pixels"):
        read_header(small, max_pixels=header.width * header.height - 1)
    assert read_header(small, max_pixels=header.width * header.height) == header


def webp_canvas(width: int, height: int) -> bytes:
    data = bytearray(encoded(noise("RGBA", 16, 16), "WEBP", exif=b"Exif\0\0II*\0"))
    assert data[12:16] == b"VP8X"
    data[24:27], data[27:30] = (width - 1).to_bytes(3, "little"), (height - 1).to_bytes(3, "little")
    return bytes(data)


def with_ispe(width: int, height: int) -> bytes:
    data = encoded(noise("RGB", 64, 64), "AVIF")
    at = data.index(b"ispe") + 8
    return data[:at] + struct.pack(">II", width, height) + data[at + 8 :]


def with_siz(width: int, height: int) -> bytes:
    """Return a JPEG 2000 file whose codestream is larger than its container states."""
    data = encoded(noise("RGB", 64, 64), "JPEG2000")
    at = data.index(b"\xff\x4f\xff\x51") + 8
    return data[:at] + struct.pack(">II", width, height) + data[at + 8 :]


LARGE = {
    "webp": webp_canvas(16_000, 16_000),
    "avif": with_ispe(30_000, 30_000),
    "jpeg 2000": with_siz(60_000, 60_000),
}


@pytest.mark.parametrize("data", LARGE.values(), ids=LARGE)
def test_other_formats_are_too_large_before_pillow_allocates(data: bytes) -> None:
    error, peak = decoded_in_a_process(data)
    assert error.startswith("too_large: ")
    assert peak < 64


def jpeg_with_segments(*segments: tuple[int, bytes], scans: int = 1, tail: bytes = b"") -> bytes:
    data = encoded(noise("RGB", 16, 16), "JPEG", progressive=scans > 1)
    added = b"".join(b"\xff" + bytes((marker,)) + struct.pack(">H", len(body) + 2) + body for marker, body in segments)
    last = data.rindex(b"\xff\xda")
    scan = data[last:-2]
    return data[:2] + added + data[2:last] + scan * scans + b"\xff\xd9" + tail


def test_jpeg_with_many_scans_is_too_large() -> None:
    usual = encoded(noise("RGB", 16, 16), "JPEG", progressive=True).count(b"\xff\xda")
    most = MAX_JPEG_SCANS - usual + 1
    assert decode(jpeg_with_segments(scans=most)).width == 16
    error = error_of(jpeg_with_segments(scans=most + 1))
    assert (error.reason, str(error)) == ("too_large", "more than 100 scans")


def test_markers_behind_the_end_of_a_jpeg_are_not_scans() -> None:
    assert decode(jpeg_with_segments(tail=b"\xff\xda" * 500)).tail_bytes == 1000


def test_jpeg_with_much_exif_is_too_large() -> None:
    segment = (0xE1, b"Exif\0\0" + bytes(65_000))
    count = MAX_JPEG_EXIF_BYTES // 65_008
    assert decode(jpeg_with_segments(*[segment] * count)).exif_bytes > 1_000_000
    error = error_of(jpeg_with_segments(*[segment] * (count + 1)))
    assert error.reason == "too_large"
    assert "bytes of EXIF" in str(error)


def test_exif_behind_a_marker_without_segment_is_counted() -> None:
    # Pillow searches on behind such a marker, so a length behind it must not hide segments.
    hidden = b"\xff\xf0\xff\xff"
    data = encoded(noise("RGB", 16, 16), "JPEG")
    segment = b"\xff\xe1" + struct.pack(">H", 65_008) + b"Exif\0\0" + bytes(65_000)
    assert error_of(data[:2] + hidden + segment * 20 + data[2:]).reason == "too_large"


def png_with_chunks(name: bytes, body: bytes, count: int, *, tail: bytes = b"") -> bytes:
    data = encoded(noise("RGB", 8, 8), "PNG")
    chunk = struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
    return data[:33] + chunk * count + data[33:] + tail


@pytest.mark.parametrize(
    ("name", "start"),
    [(b"iCCP", b"x\0\0"), (b"zTXt", b"x\0\0"), (b"iTXt", b"x\0\1\0\0\0")],
    ids=["iCCP", "zTXt", "iTXt"],
)
def test_png_with_many_compressed_chunks_is_too_large(name: bytes, start: bytes) -> None:
    body = start + zlib.compress(b"text")
    assert decode(png_with_chunks(name, body, MAX_PNG_COMPRESSED_CHUNKS)).width == 8
    error = error_of(png_with_chunks(name, body, MAX_PNG_COMPRESSED_CHUNKS + 1))
    assert (error.reason, str(error)) == (
        "too_large",
        "101 compressed chunks of metadata, more than the limit of 100",
    )


def test_names_of_chunks_behind_the_end_of_a_png_are_not_counted() -> None:
    assert decode(png_with_chunks(b"zTXt", b"x\0\0", 0, tail=b"iTXt" * 1000)).tail_bytes == 3996


def tiff(tags: list[tuple[int, int, int, int]], *, order: str = "<", extra: bytes = b"") -> bytes:
    start = b"II*\0" if order == "<" else b"MM\0*"
    entries = b"".join(struct.pack(f"{order}HHL", *tag[:3]) + struct.pack(f"{order}L", tag[3]) for tag in tags)
    return start + struct.pack(f"{order}LH", 8, len(tags)) + entries + bytes(4) + extra


@pytest.mark.parametrize("order", ["<", ">"])
def test_tiff_with_many_tags_or_values_is_too_large(order: str) -> None:
    many = [(256 + tag, 3, 1, 0) for tag in range(MAX_TIFF_TAGS + 1)]
    assert error_of(tiff(many, order=order)).reason == "too_large"
    values = bytes(4 * (MAX_TIFF_VALUES + 1))
    offsets = (273, 4, MAX_TIFF_VALUES + 1, 26)
    assert error_of(tiff([offsets], order=order, extra=values)).reason == "too_large"
    assert error_of(tiff([(273, 4, MAX_TIFF_VALUES, 26)], order=order, extra=values)).reason == "unreadable"


@pytest.mark.parametrize("order", ["<", ">"])
def test_tiff_with_many_values_in_a_sub_directory_is_too_large(order: str) -> None:
    directory = struct.pack(f"{order}HHHLL", 1, 0x011A, 5, MAX_TIFF_VALUES + 1, 100)
    data = tiff([(0x8769, 4, 1, 26)], order=order, extra=directory + bytes(8 * (MAX_TIFF_VALUES + 10)))
    assert error_of(data).reason == "too_large"


def test_tiff_with_a_directory_in_a_cycle_ends() -> None:
    assert error_of(tiff([(0x8769, 4, 1, 8)])).reason == "unreadable"


def test_tiff_with_a_tile_larger_than_the_limit_is_too_large() -> None:
    pixels = zlib.compress(bytes(range(64)) * 64)

    def tiled(side: int) -> bytes:
        values = {256: 64, 257: 64, 258: 8, 259: 8, 262: 1, 277: 1, 322: side, 323: side, 324: 134, 325: len(pixels)}
        return tiff([(tag, 4, 1, value) for tag, value in values.items()], extra=pixels)

    assert decode(tiled(64)).rgb[0, 96 + 5, 96 + 7] == 7
    error = error_of(tiled(1 << 15))
    assert (error.reason, str(error)) == ("too_large", "32768×32768 pixels, more than the limit of 67108864")


# --- memory ---


def test_estimate_grows_with_the_pixels_and_the_mode() -> None:
    grey, colour = read_header(encoded(noise("L", 80, 50), "PNG")), read_header(encoded(noise("RGB", 80, 50), "PNG"))
    assert grey == Header("PNG", "L", 80, 50, 80 * 50)
    assert colour.estimated_bytes == 4 * grey.estimated_bytes


def test_smaller_limit_does_not_lower_that_of_another_thread() -> None:
    data = encoded(noise("P", 100, 100), "GIF")
    with pytest.raises(ImageError):
        read_header(data, max_pixels=100)
    assert decode(data).width == 100
    assert Image.MAX_IMAGE_PIXELS is not None
    assert Image.MAX_IMAGE_PIXELS * 2 >= DEFAULT_MAX_PIXELS


def decoded_in_a_process(data: bytes, max_pixels: int = DEFAULT_MAX_PIXELS) -> tuple[str, float]:
    """Decode a file in a new process; return the outcome, and by how many MiB its memory grew at most."""
    program = """
        import sys
        from pathlib import Path
        from starlight_exporter.detector.decoding import decode
        from starlight_exporter.errors import ImageError
        data = sys.stdin.buffer.read()
        # Unlike the value of getrusage, this one does not include the parent process before exec.
        status = lambda: Path("/proc/self/status").read_text().splitlines()
        peak = lambda: next(int(line.split()[1]) for line in status() if line.startswith("VmHWM"))
        before = peak()
        try:
            decode(data, max_pixels=int(sys.argv[1]))
            outcome = "decoded"
        except ImageError as error:
            outcome = f"{error.reason}: {error}"
        print((peak() - before) / 1024, outcome)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program), str(max_pixels)],
        input=data,
        capture_output=True,
        check=True,
        timeout=120,
    )
    grown, _, outcome = done.stdout.decode().strip().partition(" ")
    return outcome, float(grown)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("image_format", "mode", "options"),
    [
        ("PNG", "RGBA", {"compress_level": 1}),
        ("JPEG", "CMYK", {"progressive": True}),
        ("WEBP", "RGBA", {"lossless": True, "quality": 0, "method": 0}),
        ("TIFF", "RGB", {"compression": "tiff_deflate"}),
        ("AVIF", "RGBA", {"speed": 10, "quality": 20}),
        ("JPEG2000", "RGBA", {}),
    ],
)
def test_estimate_is_at_least_the_memory_of_decoding(image_format: str, mode: str, options: dict[str, object]) -> None:
    data = encoded(noise("RGBA", 64, 64).resize((2048, 2048)).convert(mode), image_format, **options)
    outcome, grown = decoded_in_a_process(data)
    assert outcome == "decoded"
    # Small allocations of the first decode of a format, such as tables and threads.
    assert grown <= read_header(data).estimated_bytes / 2**20 + 12
