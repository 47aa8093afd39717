"""Invalid image files raise ImageError with a bounded reason and one line, whatever Pillow raises or warns about."""

from __future__ import annotations

import io
import pickle
import struct
import subprocess
import sys
import threading
import time
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image

from starlight_exporter.detector.contract import DEFAULT_MAX_PIXELS
from starlight_exporter.detector.decoding import decode
from starlight_exporter.detector.streams import tensors
from starlight_exporter.errors import ImageError


def encoded(image_format: str, mode: str = "RGB", size: tuple[int, int] = (60, 50), **options: object) -> bytes:
    rng = np.random.default_rng(4)
    image = Image.fromarray(rng.integers(0, 256, (size[1], size[0], 4), dtype=np.uint8)).convert("RGB").convert(mode)
    buffer = io.BytesIO()
    image.save(buffer, image_format, **options)
    return buffer.getvalue()


def error_of(data: bytes, **options: int) -> ImageError:
    with pytest.raises(ImageError) as caught:
        decode(data, **options)
    text = str(caught.value)
    assert text
    assert "\n" not in text
    assert " at 0x" not in text
    return caught.value


def png_chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def png_header(width: int, height: int) -> bytes:
    return b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 6, 0, 0, 0))


NOT_IMAGES = {
    "empty": b"",
    "one byte": b"\x89",
    "text": b"this is not an image at all\n" * 100,
    "html": b"<!doctype html><html><body>404</body></html>",
    "zeros": bytes(5000),
    "only a jpeg marker": b"\xff\xd8\xff\xe0",
    "only a png signature": b"\x89PNG\r\n\x1a\n",
    "only a gif signature": b"GIF89a",
    "only a riff header": b"RIFF\x00\x00\x00\x00WEBPVP8 ",
    "only a bmp signature": b"BM",
    "only a tiff header": b"II*\x00\x08\x00\x00\x00",
    "a tiff that points nowhere": b"II*\x00\xff\xff\xff\x7f",
    "png without pixels": png_header(8, 8) + png_chunk(b"IEND", b""),
    "png with nonsense for pixels": png_header(8, 8) + png_chunk(b"IDAT", b"nonsense") + png_chunk(b"IEND", b""),
    "png of no width": png_header(0, 8) + png_chunk(b"IDAT", zlib.compress(b"")) + png_chunk(b"IEND", b""),
}


@pytest.mark.parametrize("data", NOT_IMAGES.values(), ids=NOT_IMAGES)
def test_files_that_are_not_images_are_unreadable(data: bytes) -> None:
    assert error_of(data).reason == "unreadable"


FORMATS = ["JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF", "AVIF", "JPEG2000"]


@pytest.mark.parametrize("image_format", FORMATS)
@pytest.mark.parametrize("share", [0.02, 0.3, 0.6, 0.9])
def test_truncated_files_are_unreadable(image_format: str, share: float) -> None:
    data = encoded(image_format, "P" if image_format == "GIF" else "RGB")
    assert error_of(data[: int(len(data) * share)]).reason == "unreadable"


def test_format_is_that_of_the_content() -> None:
    decoded = decode(encoded("JPEG"))
    assert decoded.image_format == "jpeg"


# --- too large: these files contain a header only ---


def bmp_header(width: int, height: int) -> bytes:
    return (
        b"BM"
        + struct.pack("<IHHI", 54, 0, 0, 54)
        + struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0)
    )


def gif_header(width: int, height: int) -> bytes:
    frame = b"," + struct.pack("<HHHHB", 0, 0, width, height, 0) + b"\x08\x02\x00\x01\x00"
    return b"GIF89a" + struct.pack("<HHBBB", width, height, 0x80, 0, 0) + bytes(6) + frame + b";"


def jpeg_header(width: int, height: int) -> bytes:
    frame = b"\xff\xc0" + struct.pack(">HBHHB", 17, 8, height, width, 3) + bytes((1, 17, 0, 2, 17, 0, 3, 17, 0))
    return b"\xff\xd8" + frame + b"\xff\xda\x00\x0c\x03\x01\x00\x02\x00\x03\x00\x00\x3f\x00"


def webp_header(width: int, height: int) -> bytes:
    body = b"\x2f" + struct.pack("<I", (width - 1) | (height - 1) << 14) + bytes(64)
    inner = b"WEBPVP8L" + struct.pack("<I", len(body)) + body + b"\0"
    return b"RIFF" + struct.pack("<I", len(inner)) + inner


HEADERS = {
    "png": png_header(50_000, 50_000) + png_chunk(b"IDAT", b""),
    "bmp": bmp_header(50_000, 50_000),
    "gif": gif_header(50_000, 50_000),
    "jpeg": jpeg_header(50_000, 50_000),
    "webp": webp_header(16_383, 16_383),
    "png with one line more": png_header(8192, 8193) + png_chunk(b"IDAT", b""),
    "one long line": png_header(DEFAULT_MAX_PIXELS + 1, 1) + png_chunk(b"IDAT", b""),
}


@pytest.mark.parametrize("data", HEADERS.values(), ids=HEADERS)
def test_too_many_pixels_are_detected_from_the_header(data: bytes) -> None:
    start = time.perf_counter()
    assert error_of(data).reason == "too_large"
    assert time.perf_counter() - start < 1


def test_pixel_limit_is_inclusive_and_in_the_message() -> None:
    data = encoded("PNG", size=(60, 50))
    assert decode(data, max_pixels=3000).width == 60
    error = error_of(data, max_pixels=2999)
    assert error.reason == "too_large"
    assert str(error) == "60×50 pixels, more than the limit of 2999"


def test_default_pixel_limit_is_64_megapixels() -> None:
    assert DEFAULT_MAX_PIXELS == 64 * 1024 * 1024 == 8192 * 8192


# --- warnings ---


def jpeg_with_damaged_exif() -> bytes:
    return encoded("JPEG", exif=b"Exif\0\0II*\0\x08\0\0\0\x05\0")


def palette_with_transparency() -> bytes:
    return encoded("PNG", "P", transparency=bytes([0, 255, 3]))


def malformed_mpo() -> bytes:
    data = encoded("JPEG")
    return data[:2] + b"\xff\xe2\x00\x0cMPF\0II*\0\x08\0" + data[2:]


WARNING_FILES = {
    "damaged exif": jpeg_with_damaged_exif,
    "transparent palette": palette_with_transparency,
    "malformed mpo": malformed_mpo,
}


@pytest.mark.parametrize("make", WARNING_FILES.values(), ids=WARNING_FILES)
def test_warnings_of_pillow_do_not_change_the_streams(make: object) -> None:
    assert callable(make)
    data = make()
    with warnings.catch_warnings(record=True) as raised:
        warnings.simplefilter("always")
        with Image.open(io.BytesIO(data)) as image:
            image.convert("RGB")
            image.getexif()
    assert raised, "Pillow no longer warns about this file, so this test has no effect"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        strict = tensors(decode(data))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        lenient = tensors(decode(data))
    assert all(np.array_equal(strict[stream], lenient[stream]) for stream in strict)


def test_warnings_of_other_modules_are_not_suppressed() -> None:
    decode(palette_with_transparency())
    with pytest.raises(UserWarning, match="ours"):
        warnings.warn("ours", stacklevel=1)


def test_decodes_in_threads_with_warnings_as_errors() -> None:
    files = [make() for make in WARNING_FILES.values()] * 20
    failures: list[BaseException] = []

    def work() -> None:
        try:
            for data in files:
                decode(data)
        except (ImageError, Warning) as error:
            failures.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_first_images_open_concurrently_without_output() -> None:
    # In a separate process, because other tests load plugins and configure loggers.
    program = """
import sys, threading
sys.path[:0] = sys.argv[1:2]
from test_bad_images import encoded, jpeg_with_damaged_exif
from starlight_exporter.detector.decoding import decode
from starlight_exporter.errors import ImageError
tiff = bytearray(encoded("TIFF"))
start = tiff.index(b"\\x15\\x01\\x03\\x00")
tiff[start + 8 : start + 10] = b"\\xff\\x00"
files = [encoded(name) for name in ("WEBP", "TIFF", "JPEG2000", "AVIF")] * 2
files += [jpeg_with_damaged_exif()]
gate = threading.Barrier(len(files))
opened = []
def work(data):
    gate.wait()
    opened.append(decode(data).width)
threads = [threading.Thread(target=work, args=(data,)) for data in files]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
try:
    decode(bytes(tiff))
except ImageError as error:
    opened.append(error.reason)
print(sorted(map(str, opened)))
"""
    finished = subprocess.run(
        [sys.executable, "-c", program, __file__.rpartition("/")[0]],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert finished.stderr == ""
    assert finished.stdout.strip() == str(["60"] * 9 + ["unreadable"])


def test_image_error_can_be_pickled() -> None:
    error = error_of(b"no image")
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.reason) == (str(error), error.reason)


JPEG, GIF = encoded("JPEG"), encoded("GIF")
GIF_HEAD = 13 + (3 << ((GIF[10] & 7) + 1))


@pytest.mark.parametrize(
    "data",
    [
        JPEG[:2] + b"\xff\xe2\0\2" * 1_000_000 + JPEG[2:],
        JPEG[:2] + b"\xff\0" * 1_000_000 + JPEG[2:],
        JPEG[:2] + b"\xff\xe2\0\2" + b"a" * 1_000_000 + JPEG[2:],
        JPEG[:2] + b"\xff\xe2\0\2" + b"a" * 1_000_000,
        GIF[:GIF_HEAD] + b"!\xfe\1c\0" * 1_000_000 + GIF[GIF_HEAD:],
        GIF[:GIF_HEAD] + b"\0" * 1_000_000 + GIF[GIF_HEAD:],
    ],
    ids=["empty segments", "stuffed bytes", "bytes between segments", "no pixels", "GIF comments", "GIF padding"],
)
def test_many_segments_before_the_pixels_are_too_large(data: bytes) -> None:
    assert error_of(data).reason == "too_large"


def test_some_segments_and_padding_before_the_pixels_are_measured() -> None:
    decode(JPEG[:2] + b"\xff\xe2\0\2" * 5000 + b"\0" * 50_000 + JPEG[2:])
    decode(GIF[:GIF_HEAD] + b"!\xfe\1c\0" * 1000 + GIF[GIF_HEAD:])
