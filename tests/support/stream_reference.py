"""Reference implementation of the model contract with numpy's own functions, and images to compare it with."""

from __future__ import annotations

import io
import struct
import warnings

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from starlight_exporter.detector.contract import STREAM_SHAPES, STREAMS, Stream
from starlight_exporter.detector.decoding import decode
from starlight_exporter.detector.streams import tensors


def _crop(plane: NDArray[np.uint8]) -> NDArray[np.uint8]:
    for axis in (0, 1):
        size = plane.shape[axis]
        widths = [(0, 0)] * plane.ndim
        if size < 256:
            widths[axis] = ((256 - size) // 2, (256 - size + 1) // 2)
            plane = np.pad(plane, widths)
        elif size > 256:
            start = int(round((size - 256) / 2.0))  # noqa: RUF046
            plane = np.take(plane, range(start, start + 256), axis=axis)
    return plane


def _tail(data: bytes, name: str | None) -> bytes:
    if len(data) < 1000:
        return b""
    if name == "JPEG" and b"\xff\xd9" in data:
        return data.rpartition(b"\xff\xd9")[2]
    if name == "PNG" and b"IEND" in data:
        return data.rpartition(b"IEND")[2][8:]
    if name == "GIF" and b";" in data:
        return data.rpartition(b";")[2]
    if name == "WEBP":
        (riff,) = struct.unpack("<I", data[4:8])
        if len(data) - (riff + 8) > 100:
            return data[riff + 8 :]
    return b""


def _statistics(bits: NDArray[np.uint8]) -> list[float]:
    values = np.packbits(bits.flatten()).tolist()
    n = len(values)
    distinct = len(set(values)) / n if n <= 256 else min(1.0, len(set(values[:: max(1, n // 1000)])) / 256)
    printable = sum(32 <= value <= 126 for value in values) / n
    most_frequent = max(values.count(value) for value in set(values)) / n
    return [distinct, printable, most_frequent]


def reference_streams(data: bytes) -> dict[Stream, NDArray[np.float32]]:
    """Compute all streams of an image file from the full image."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        image: Image.Image = Image.open(io.BytesIO(data))
        image.load()
        name = image.format
        width, height = image.size
        exif = image.info.get("exif", b"")
        if name == "GIF" and image.mode == "L":
            image = image.convert("P")
        rgb = _crop(np.array(image.convert("RGB")))
        grey = _crop(np.array(image.convert("L"))) if image.mode == "P" else None
    meta = (exif + _tail(data, name)[:2048])[:2048]
    bit_planes = np.moveaxis(rgb % np.uint8(2), 2, 0)
    content = [*_statistics(bit_planes), 0.0, 0.0, 0.0]
    alpha = np.zeros((2, 256, 256), np.float32)
    deviation = 0.0
    if image.mode == "RGBA":
        plane = np.array(image)[:, :, 3].copy()
        crop = _crop(plane)
        alpha = np.stack([crop.astype(np.float32) / np.float32(255.0), (crop % 2).astype(np.float32)])
        deviation = float(np.std(plane)) / 255.0
        content[3:] = _statistics(plane % np.uint8(2))
    palette = list(image.getpalette() or []) if image.mode == "P" else []
    palette += [0] * (768 - len(palette))
    return {
        "pixel": np.moveaxis(rgb.astype(np.float32) / np.float32(255.0), 2, 0),
        "meta": np.array([*meta, *[0] * (2048 - len(meta))], np.float32) / np.float32(255.0),
        "alpha": alpha,
        "lsb": bit_planes.astype(np.float32),
        "palette": np.array(palette, np.float32) / np.float32(255.0),
        "palette_lsb": np.zeros((1, 256, 256), np.float32) if grey is None else (grey % 2).astype(np.float32)[None],
        "format": np.array(
            [
                1.0 if image.mode == "RGBA" else 0.0,
                deviation,
                1.0 if image.mode == "P" else 0.0,
                1.0 if image.mode == "RGB" else 0.0,
                width / 256.0,
                height / 256.0,
            ],
            np.float32,
        ),
        "content": np.array(content, np.float32),
    }


def assert_equal_streams(data: bytes) -> dict[Stream, NDArray[np.float32]]:
    """Assert that the streams of an image file are bit-exact with the reference, and return them."""
    expected = reference_streams(data)
    got = tensors(decode(data))
    assert set(got) == set(STREAMS)
    for stream in STREAMS:
        assert got[stream].dtype == np.float32
        assert got[stream].shape == STREAM_SHAPES[stream]
        assert got[stream].tobytes() == np.ascontiguousarray(expected[stream]).tobytes(), stream
    return got


def noise(mode: str, width: int, height: int, seed: int = 0) -> Image.Image:
    """Return an image with different, non-constant planes: noise on a gradient."""
    rng = np.random.default_rng(seed)
    ramp = np.linspace(0, 200, width * height).reshape(height, width, 1)
    values = (ramp + rng.integers(0, 56, (height, width, 4))).astype(np.uint8)
    if mode in ("I;16", "I", "F"):
        wide = values[:, :, 0].astype(np.uint16) * 257
        image = Image.fromarray(wide)
        return image if mode == "I;16" else image.convert("I").convert(mode)
    if mode == "PA":
        return Image.merge("LA", (Image.fromarray(values[:, :, 0]), Image.fromarray(values[:, :, 3]))).convert("PA")
    if mode == "P":
        image = Image.fromarray(values[:, :, 0]).copy()
        image.putpalette(rng.integers(0, 256, 768, dtype=np.uint8).tobytes())
        return image
    rgba = Image.fromarray(values)
    if mode == "LA":
        return Image.merge("LA", (rgba.getchannel(0), rgba.getchannel(3)))
    if mode == "CMYK":
        return Image.merge("CMYK", rgba.split())
    return rgba if mode == "RGBA" else rgba.convert("RGB").convert(mode)


def encoded(image: Image.Image, image_format: str, **options: object) -> bytes:
    """Return an image as the content of a file."""
    buffer = io.BytesIO()
    image.save(buffer, image_format, **options)
    return buffer.getvalue()


def exif_bytes(text: bytes = b"ASCII\0\0\0hello") -> bytes:
    """Return an EXIF block with a description and a user comment."""
    exif = Image.Exif()
    exif[0x010E] = "a description"
    exif.get_ifd(0x8769)[0x9286] = text
    return exif.tobytes()
