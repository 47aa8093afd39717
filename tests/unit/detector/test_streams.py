"""The eight streams against a plain reading of the model contract, bit for bit."""

from __future__ import annotations

import io
import math
import struct
import threading
import tracemalloc
import warnings
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image, PngImagePlugin

from starlight_exporter.detector.contract import STREAM_SHAPES, STREAMS, Stream
from starlight_exporter.detector.decoding import decode
from starlight_exporter.detector.features import standard_deviation
from starlight_exporter.detector.streams import tensors, workspace

# --- the contract, read plainly: whole images, numpy's own functions, no thought of speed ---


def reference_crop(plane: NDArray[np.uint8]) -> NDArray[np.uint8]:
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


def reference_tail(data: bytes, name: str | None) -> bytes:
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


def reference_statistics(bits: NDArray[np.uint8]) -> list[float]:
    values = np.packbits(bits.flatten()).tolist()
    n = len(values)
    distinct = len(set(values)) / n if n <= 256 else min(1.0, len(set(values[:: max(1, n // 1000)])) / 256)
    printable = sum(32 <= value <= 126 for value in values) / n
    commonest = max(values.count(value) for value in set(values)) / n
    return [distinct, printable, commonest]


def reference(data: bytes) -> dict[Stream, NDArray[np.float32]]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        image: Image.Image = Image.open(io.BytesIO(data))
        image.load()
        name = image.format
        width, height = image.size
        exif = image.info.get("exif", b"")
        if name == "GIF" and image.mode == "L":
            image = image.convert("P")
        rgb = reference_crop(np.array(image.convert("RGB")))
        grey = reference_crop(np.array(image.convert("L"))) if image.mode == "P" else None
    meta = (exif + reference_tail(data, name)[:2048])[:2048]
    bit_planes = np.moveaxis(rgb % np.uint8(2), 2, 0)
    content = [*reference_statistics(bit_planes), 0.0, 0.0, 0.0]
    alpha = np.zeros((2, 256, 256), np.float32)
    spread = 0.0
    if image.mode == "RGBA":
        plane = np.array(image)[:, :, 3].copy()
        crop = reference_crop(plane)
        alpha = np.stack([crop.astype(np.float32) / np.float32(255.0), (crop % 2).astype(np.float32)])
        spread = float(np.std(plane)) / 255.0
        content[3:] = reference_statistics(plane % np.uint8(2))
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
                spread,
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
    expected = reference(data)
    got = tensors(decode(data))
    assert set(got) == set(STREAMS)
    for stream in STREAMS:
        assert got[stream].dtype == np.float32
        assert got[stream].shape == STREAM_SHAPES[stream]
        assert got[stream].tobytes() == np.ascontiguousarray(expected[stream]).tobytes(), stream
    return got


# --- images ---


def noise(mode: str, width: int, height: int, seed: int = 0) -> Image.Image:
    """An image whose planes are neither constant nor alike: noise over a gradient."""
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
    buffer = io.BytesIO()
    image.save(buffer, image_format, **options)
    return buffer.getvalue()


MODES_OF_FORMATS = {
    "PNG": ("1", "L", "LA", "P", "RGB", "RGBA", "I;16"),
    "JPEG": ("1", "L", "RGB", "CMYK", "YCbCr"),
    "GIF": ("1", "L", "P", "RGB", "RGBA"),
    "WEBP": ("L", "P", "RGB", "RGBA"),
    "BMP": ("1", "L", "P", "RGB", "RGBA"),
    "TIFF": ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr", "I", "I;16", "F"),
    "PPM": ("1", "L", "RGB"),
    "TGA": ("1", "L", "LA", "P", "RGB", "RGBA"),
}
MODES = [(image_format, mode) for image_format, modes in MODES_OF_FORMATS.items() for mode in modes]
EDGE_SIZES = [
    (1, 1),
    (2, 3),
    (255, 255),
    (256, 256),
    (257, 258),
    (258, 257),
    (511, 255),
    (1000, 3),
    (3, 1000),
    (16, 515),
]


@pytest.mark.parametrize(("image_format", "mode"), MODES)
@pytest.mark.parametrize(("width", "height"), [(1, 1), (7, 300), (259, 257)])
def test_every_mode_of_every_format(image_format: str, mode: str, width: int, height: int) -> None:
    options = {"lossless": True, "exact": True} if image_format == "WEBP" else {}
    assert_equal_streams(encoded(noise(mode, width, height), image_format, **options))


@pytest.mark.parametrize(("width", "height"), EDGE_SIZES)
@pytest.mark.parametrize(("image_format", "mode"), [("PNG", "RGBA"), ("GIF", "P"), ("JPEG", "RGB")])
def test_every_edge_size(image_format: str, mode: str, width: int, height: int) -> None:
    assert_equal_streams(encoded(noise(mode, width, height), image_format))


@settings(max_examples=25, deadline=None)
@given(
    width=st.integers(1, 700),
    height=st.integers(1, 700),
    kind=st.sampled_from([("PNG", "RGBA"), ("PNG", "P"), ("BMP", "RGB"), ("GIF", "P"), ("GIF", "L")]),
    seed=st.integers(0, 1000),
)
def test_any_size(width: int, height: int, kind: tuple[str, str], seed: int) -> None:
    assert_equal_streams(encoded(noise(kind[1], width, height, seed), kind[0]))


@pytest.mark.slow
def test_the_largest_size() -> None:
    rng = np.random.default_rng(1)
    image = Image.fromarray(rng.integers(0, 256, (64, 64, 4), dtype=np.uint8)).resize(
        (4096, 4096), Image.Resampling.NEAREST
    )
    assert_equal_streams(encoded(image, "PNG", compress_level=1))


def test_half_to_even_cut() -> None:
    # (257 - 256) / 2 rounds down to 0, (259 - 256) / 2 up to 2.
    row = (np.arange(259) % 251).astype(np.uint8)
    image = Image.fromarray(np.tile(row, (257, 1)))
    pixel = tensors(decode(encoded(image, "PNG")), {"pixel"})["pixel"]
    assert pixel[0, 0, 0] == np.float32(2) / np.float32(255)
    column = tensors(decode(encoded(image.transpose(Image.Transpose.TRANSPOSE), "PNG")), {"pixel"})["pixel"]
    assert column[0, 0, 5] == np.float32(2) / np.float32(255)
    assert column[0, 1, 5] == np.float32(3) / np.float32(255)


def test_odd_padding_puts_the_spare_pixel_behind() -> None:
    white = Image.new("L", (253, 1), 255)
    pixel = tensors(decode(encoded(white, "PNG")), {"pixel"})["pixel"]
    assert (np.flatnonzero(pixel[0].any(axis=0))[[0, -1]] == [1, 253]).all()
    assert np.flatnonzero(pixel[0].any(axis=1)).tolist() == [127]


def test_division_not_product() -> None:
    ramp = Image.fromarray(np.arange(256, dtype=np.uint8)[None].repeat(256, 0))
    pixel = tensors(decode(encoded(ramp, "PNG")), {"pixel"})["pixel"][0, 0]
    product = np.arange(256, dtype=np.float32) * (np.float32(1) / np.float32(255))
    assert np.count_nonzero(pixel != product) == 126


# --- palettes and transparency ---


def grey_gif(width: int, height: int, **options: object) -> bytes:
    # Without its own palette order, which only unoptimised files keep, Pillow opens it in mode P.
    return encoded(noise("L", width, height), "GIF", optimize=False, **options)


@pytest.mark.parametrize("options", [{}, {"transparency": 3}])
def test_grey_gif_counts_as_palette(options: dict[str, int]) -> None:
    data = grey_gif(300, 30, **options)
    with Image.open(io.BytesIO(data)) as image:
        assert image.mode == "L"
    got = assert_equal_streams(data)
    decoded = decode(data)
    assert (decoded.mode, decoded.image_format) == ("P", "gif")
    assert got["palette"].any()
    assert got["palette_lsb"].any()
    assert got["format"][2] == 1


@pytest.mark.parametrize("image_format", ["PNG", "GIF", "BMP", "TIFF"])
@pytest.mark.parametrize("colours", [2, 5, 16, 255])
def test_short_palettes(image_format: str, colours: int) -> None:
    assert_equal_streams(encoded(noise("RGB", 90, 70).quantize(colours), image_format))


@pytest.mark.parametrize("transparency", [0, 200, bytes(range(256)), bytes([0, 255, 7])])
@pytest.mark.parametrize("mode", ["P", "PA-like"])
def test_transparent_palette_has_no_alpha(transparency: int | bytes, mode: str) -> None:
    image = noise("P", 60, 61)
    if mode != "P":
        image = noise("RGB", 60, 61).quantize(7)
    got = assert_equal_streams(encoded(image, "PNG", transparency=transparency))
    assert not got["alpha"].any()
    assert not got["content"][3:].any()
    assert got["format"][:3].tolist() == [0, 0, 1]


@pytest.mark.parametrize(("mode", "transparency"), [("L", 7), ("RGB", (1, 2, 3)), ("1", 1), ("I;16", 300)])
def test_transparent_colour_has_no_alpha(mode: str, transparency: object) -> None:
    got = assert_equal_streams(encoded(noise(mode, 50, 50), "PNG", transparency=transparency))
    assert not got["alpha"].any()


@pytest.mark.parametrize("mode", ["LA", "PA"])
def test_only_rgba_has_alpha(mode: str) -> None:
    got = assert_equal_streams(encoded(noise(mode, 50, 50), "TIFF"))
    assert not got["alpha"].any()
    assert got["format"][0] == 0


def test_alpha_spread_is_of_the_whole_plane() -> None:
    image = noise("RGBA", 400, 300)
    image.putalpha(255)
    image.paste((1, 2, 3, 0), (0, 0, 20, 20))
    got = assert_equal_streams(encoded(image, "PNG"))
    assert (got["alpha"][0] == 1).all()
    assert got["format"][1] > 0


def test_alpha_does_not_darken_the_colours() -> None:
    image = Image.new("RGBA", (256, 256), (255, 255, 255, 0))
    assert (tensors(decode(encoded(image, "PNG")), {"pixel"})["pixel"] == 1).all()


# --- frames ---


@pytest.mark.parametrize("image_format", ["GIF", "WEBP", "PNG", "TIFF"])
def test_the_first_frame_counts(image_format: str) -> None:
    frames = [noise("RGB", 64, 64, seed) for seed in range(3)]
    options = {"lossless": True} if image_format == "WEBP" else {}
    data = encoded(frames[0], image_format, save_all=True, append_images=frames[1:], duration=50, **options)
    got = assert_equal_streams(data)
    if image_format == "GIF":
        return
    alone = tensors(decode(encoded(frames[0], "BMP")))
    assert np.array_equal(got["pixel"], alone["pixel"])


def test_mpo_is_another_format_without_tail() -> None:
    data = encoded(noise("RGB", 80, 80), "MPO", save_all=True, append_images=[noise("RGB", 80, 80, 1)])
    data += b"hidden" * 200
    assert_equal_streams(data)
    decoded = decode(data)
    assert (decoded.pillow_format, decoded.image_format, decoded.tail_bytes) == ("MPO", "other", 0)


# --- EXIF and tail ---


def exif_bytes(text: bytes = b"ASCII\0\0\0hello") -> bytes:
    exif = Image.Exif()
    exif[0x010E] = "a description"
    exif.get_ifd(0x8769)[0x9286] = text
    return exif.tobytes()


@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "WEBP", "TIFF", "MPO"])
def test_exif(image_format: str) -> None:
    data = encoded(noise("RGB", 60, 50), image_format, exif=exif_bytes())
    got = assert_equal_streams(data)
    decoded = decode(data)
    if image_format != "TIFF":
        assert decoded.exif_bytes > 40
        assert b"hello" in decoded.meta
        assert got["meta"].any()


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


def test_exif_after_the_pixels_of_a_png() -> None:
    data = encoded(noise("RGB", 60, 50), "PNG")
    end = data.rindex(b"IEND") - 4
    data = data[:end] + chunk(b"eXIf", exif_bytes()[6:]) + data[end:]
    assert_equal_streams(data)
    assert decode(data).exif_bytes == len(exif_bytes())


@pytest.mark.parametrize(("compressed", "length"), [(False, 11), (True, 0)])
def test_a_png_text_called_exif_is_exif_where_pillow_gives_bytes(compressed: bool, length: int) -> None:
    info = PngImagePlugin.PngInfo()
    info.add_text("exif", "just a text", zip=compressed)
    assert decode(encoded(noise("RGB", 20, 20), "PNG", pnginfo=info)).exif_bytes == length


@pytest.mark.parametrize("length", [1, 99, 100, 101, 2047, 2048, 2049, 5000])
@pytest.mark.parametrize("image_format", ["JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF"])
def test_tails(image_format: str, length: int) -> None:
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


def test_a_png_tail_loses_four_bytes() -> None:
    data = encoded(noise("RGB", 64, 64), "PNG") + b"0123456789"
    decoded = decode(data)
    assert (decoded.tail_bytes, decoded.meta) == (6, b"456789")


@pytest.mark.parametrize("size", [998, 999, 1000, 1001])
def test_short_files_have_no_tail(size: int) -> None:
    data = encoded(Image.new("L", (2, 2)), "GIF")
    data = data.ljust(size, b"x")
    assert_equal_streams(data)
    assert (decode(data).tail_bytes > 0) == (size >= 1000)


def test_the_tail_is_cut_before_it_follows_a_long_exif() -> None:
    data = encoded(noise("RGB", 64, 64), "JPEG", exif=exif_bytes(b"ASCII\0\0\0" + b"e" * 3000)) + b"t" * 3000
    assert_equal_streams(data)
    decoded = decode(data)
    assert (len(decoded.meta), decoded.tail_bytes) == (2048, 3000)
    assert b"t" * 10 not in decoded.meta


def test_end_marks_inside_of_the_tail_count() -> None:
    for image_format, mark in (("JPEG", b"\xff\xd9"), ("GIF", b";"), ("PNG", b"IEND")):
        image = noise("P" if image_format == "GIF" else "RGB", 64, 64)
        assert_equal_streams(encoded(image, image_format) + b"one" + mark + b"twelve bytes" * 3)


# --- what is handed out ---


def test_facts_of_the_file() -> None:
    decoded = decode(encoded(noise("RGBA", 300, 200), "WEBP", exif=exif_bytes()))
    assert (decoded.image_format, decoded.pillow_format, decoded.mode) == ("webp", "WEBP", "RGBA")
    assert (decoded.width, decoded.height) == (300, 200)
    assert decoded.alpha is not None
    assert decoded.alpha.shape == (200, 300)


def test_only_wanted_streams_and_into_given_arrays() -> None:
    rgba, palette = (decode(encoded(noise(mode, 100, 300), "PNG")) for mode in ("RGBA", "P"))
    for stream in STREAMS:
        assert set(tensors(rgba, {stream})) == {stream}
    arrays = workspace()
    for array in arrays.values():
        array.fill(np.nan)
    for decoded in (rgba, palette, rgba):
        fresh = tensors(decoded)
        filled = tensors(decoded, STREAMS, out=arrays)
        for stream in STREAMS:
            assert filled[stream] is arrays[stream] or not (filled[stream].any() or filled[stream].flags.writeable)
            assert np.array_equal(filled[stream], fresh[stream])


def test_decoded_arrays_cannot_be_changed() -> None:
    for size in (256, 100):
        decoded = decode(encoded(noise("RGBA", size, size), "PNG"))
        assert decoded.alpha is not None
        assert not decoded.rgb.flags.writeable
        assert not decoded.alpha.flags.writeable


@settings(max_examples=30, deadline=None)
@given(height=st.integers(1, 900), width=st.integers(1, 900), seed=st.integers(0, 99), top=st.integers(1, 256))
def test_standard_deviation_is_numpys(height: int, width: int, seed: int, top: int) -> None:
    plane = np.random.default_rng(seed).integers(0, top, (height, width), dtype=np.uint8)
    assert standard_deviation(plane) == float(np.std(plane))


def test_standard_deviation_of_a_constant_is_zero() -> None:
    assert standard_deviation(np.full((511, 1023), 253, np.uint8)) == 0.0
    assert math.copysign(1, standard_deviation(np.zeros((1, 1), np.uint8))) == 1


def test_features_of_a_large_alpha_plane_take_little_memory() -> None:
    decoded = decode(encoded(Image.new("RGBA", (3000, 3000), (1, 2, 3, 4)), "PNG", compress_level=1))
    tracemalloc.start()
    tensors(decoded, {"format", "content", "alpha"})
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 30e6


def test_threads_agree() -> None:
    files = [encoded(noise(mode, 200, 300, seed), "PNG") for seed, mode in enumerate(["RGB", "RGBA", "P", "L"] * 2)]
    expected = [tensors(decode(data)) for data in files]
    wrong: list[int] = []

    def work(start: int) -> None:
        arrays = workspace()
        for step in range(24):
            index = (start + step) % len(files)
            got = tensors(decode(files[index]), STREAMS, out=arrays)
            if any(not np.array_equal(got[stream], expected[index][stream]) for stream in STREAMS):
                wrong.append(index)

    threads = [threading.Thread(target=work, args=(start,)) for start in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
