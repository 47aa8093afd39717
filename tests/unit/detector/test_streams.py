"""Streams are bit-exact with a reference implementation of the model contract."""

from __future__ import annotations

import io
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from starlight_exporter.detector.contract import STREAMS
from starlight_exporter.detector.decoding import decode
from starlight_exporter.detector.streams import tensors, workspace
from support.stream_reference import assert_equal_streams, encoded, exif_bytes, noise

MODES_OF_FORMATS = {
    "PNG": ("1", "L", "LA", "P", "RGB", "RGBA"),
    "JPEG": ("1", "L", "RGB", "CMYK", "YCbCr"),
    "GIF": ("1", "L", "P", "RGB", "RGBA"),
    "WEBP": ("L", "P", "RGB", "RGBA"),
    "BMP": ("1", "L", "P", "RGB", "RGBA"),
    "TIFF": ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr"),
    "AVIF": ("L", "RGB", "RGBA"),
    "JPEG2000": ("L", "LA", "RGB", "RGBA"),
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
@pytest.mark.slow
def test_streams_match_the_reference_in_every_mode_of_every_format(
    image_format: str, mode: str, width: int, height: int
) -> None:
    options = {"lossless": True, "exact": True} if image_format == "WEBP" else {}
    assert_equal_streams(encoded(noise(mode, width, height), image_format, **options))


@pytest.mark.parametrize(("width", "height"), EDGE_SIZES)
@pytest.mark.parametrize(("image_format", "mode"), [("PNG", "RGBA"), ("GIF", "P"), ("JPEG", "RGB")])
def test_streams_match_the_reference_at_edge_sizes(image_format: str, mode: str, width: int, height: int) -> None:
    assert_equal_streams(encoded(noise(mode, width, height), image_format))


@settings(max_examples=25, deadline=None)
@given(
    width=st.integers(1, 700),
    height=st.integers(1, 700),
    kind=st.sampled_from([("PNG", "RGBA"), ("PNG", "P"), ("BMP", "RGB"), ("GIF", "P"), ("GIF", "L")]),
    seed=st.integers(0, 1000),
)
@pytest.mark.slow
def test_streams_match_the_reference_at_any_size(width: int, height: int, kind: tuple[str, str], seed: int) -> None:
    assert_equal_streams(encoded(noise(kind[1], width, height, seed), kind[0]))


@pytest.mark.slow
def test_streams_match_the_reference_at_the_largest_size() -> None:
    rng = np.random.default_rng(1)
    image = Image.fromarray(rng.integers(0, 256, (64, 64, 4), dtype=np.uint8)).resize(
        (4096, 4096), Image.Resampling.NEAREST
    )
    assert_equal_streams(encoded(image, "PNG", compress_level=1))


def test_crop_offset_is_rounded_half_to_even() -> None:
    # (257 - 256) / 2 rounds down to 0, (259 - 256) / 2 up to 2.
    row = (np.arange(259) % 251).astype(np.uint8)
    image = Image.fromarray(np.tile(row, (257, 1)))
    pixel = tensors(decode(encoded(image, "PNG")), {"pixel"})["pixel"]
    assert pixel[0, 0, 0] == np.float32(2) / np.float32(255)
    column = tensors(decode(encoded(image.transpose(Image.Transpose.TRANSPOSE), "PNG")), {"pixel"})["pixel"]
    assert column[0, 0, 5] == np.float32(2) / np.float32(255)
    assert column[0, 1, 5] == np.float32(3) / np.float32(255)


def test_odd_padding_is_larger_at_the_end() -> None:
    white = Image.new("L", (253, 1), 255)
    pixel = tensors(decode(encoded(white, "PNG")), {"pixel"})["pixel"]
    assert (np.flatnonzero(pixel[0].any(axis=0))[[0, -1]] == [1, 253]).all()
    assert np.flatnonzero(pixel[0].any(axis=1)).tolist() == [127]


def test_bytes_are_divided_by_255() -> None:
    ramp = Image.fromarray(np.arange(256, dtype=np.uint8)[None].repeat(256, 0))
    pixel = tensors(decode(encoded(ramp, "PNG")), {"pixel"})["pixel"][0, 0]
    product = np.arange(256, dtype=np.float32) * (np.float32(1) / np.float32(255))
    assert np.count_nonzero(pixel != product) == 126


# --- palettes and transparency ---


def greyscale_gif(width: int, height: int, **options: object) -> bytes:
    # Pillow opens it in mode L only if the palette is in its original order, as in unoptimised files.
    return encoded(noise("L", width, height), "GIF", optimize=False, **options)


@pytest.mark.parametrize("options", [{}, {"transparency": 3}])
def test_greyscale_gif_has_palette_streams(options: dict[str, int]) -> None:
    data = greyscale_gif(300, 30, **options)
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
def test_streams_match_the_reference_for_short_palettes(image_format: str, colours: int) -> None:
    assert_equal_streams(encoded(noise("RGB", 90, 70).quantize(colours), image_format))


@pytest.mark.parametrize("transparency", [0, 200, bytes(range(256)), bytes([0, 255, 7])])
@pytest.mark.parametrize("mode", ["P", "PA-like"])
def test_transparent_palette_has_no_alpha_stream(transparency: int | bytes, mode: str) -> None:
    image = noise("P", 60, 61)
    if mode != "P":
        image = noise("RGB", 60, 61).quantize(7)
    got = assert_equal_streams(encoded(image, "PNG", transparency=transparency))
    assert not got["alpha"].any()
    assert not got["content"][3:].any()
    assert got["format"][:3].tolist() == [0, 0, 1]


@pytest.mark.parametrize(("mode", "transparency"), [("L", 7), ("RGB", (1, 2, 3)), ("1", 1)])
def test_transparent_colour_has_no_alpha_stream(mode: str, transparency: object) -> None:
    got = assert_equal_streams(encoded(noise(mode, 50, 50), "PNG", transparency=transparency))
    assert not got["alpha"].any()


@pytest.mark.parametrize("mode", ["LA", "PA"])
def test_only_mode_rgba_has_an_alpha_stream(mode: str) -> None:
    got = assert_equal_streams(encoded(noise(mode, 50, 50), "TIFF"))
    assert not got["alpha"].any()
    assert got["format"][0] == 0


def test_alpha_deviation_covers_the_full_plane() -> None:
    image = noise("RGBA", 400, 300)
    image.putalpha(255)
    image.paste((1, 2, 3, 0), (0, 0, 20, 20))
    got = assert_equal_streams(encoded(image, "PNG"))
    assert (got["alpha"][0] == 1).all()
    assert got["format"][1] > 0


def test_alpha_is_dropped_instead_of_composited() -> None:
    image = Image.new("RGBA", (256, 256), (255, 255, 255, 0))
    assert (tensors(decode(encoded(image, "PNG")), {"pixel"})["pixel"] == 1).all()


# --- frames ---


@pytest.mark.parametrize("image_format", ["GIF", "WEBP", "PNG", "TIFF"])
def test_only_the_first_frame_is_used(image_format: str) -> None:
    frames = [noise("RGB", 64, 64, seed) for seed in range(3)]
    options = {"lossless": True} if image_format == "WEBP" else {}
    data = encoded(frames[0], image_format, save_all=True, append_images=frames[1:], duration=50, **options)
    got = assert_equal_streams(data)
    if image_format == "GIF":
        return
    alone = tensors(decode(encoded(frames[0], "BMP")))
    assert np.array_equal(got["pixel"], alone["pixel"])


def test_mpo_has_format_jpeg_and_no_tail() -> None:
    data = encoded(noise("RGB", 80, 80), "MPO", save_all=True, append_images=[noise("RGB", 80, 80, 1)])
    data += b"hidden" * 200
    assert_equal_streams(data)
    decoded = decode(data)
    assert (decoded.pillow_format, decoded.image_format, decoded.tail_bytes) == ("MPO", "jpeg", 0)


def test_decoded_image_has_format_mode_and_size() -> None:
    decoded = decode(encoded(noise("RGBA", 300, 200), "WEBP", exif=exif_bytes()))
    assert (decoded.image_format, decoded.pillow_format, decoded.mode) == ("webp", "WEBP", "RGBA")
    assert (decoded.width, decoded.height) == (300, 200)
    assert decoded.alpha is not None
    assert decoded.alpha.shape == (200, 300)


def test_computes_only_requested_streams_into_given_arrays() -> None:
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


def test_decoded_arrays_are_read_only() -> None:
    for size in (256, 100):
        decoded = decode(encoded(noise("RGBA", size, size), "PNG"))
        assert decoded.alpha is not None
        assert not decoded.rgb.flags.writeable
        assert not decoded.alpha.flags.writeable


def test_streams_are_equal_in_all_threads() -> None:
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
