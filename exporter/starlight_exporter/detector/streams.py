"""Compute the eight streams of a decoded image, bit-exact with the tensors that the models were trained on."""

from __future__ import annotations

import threading
from collections.abc import Collection, Mapping
from typing import Final

import numpy as np

from starlight_exporter.detector.arrays import ByteArray, Tensor
from starlight_exporter.detector.contract import META_BYTES, PALETTE_BYTES, STREAM_SHAPES, STREAMS, Stream
from starlight_exporter.detector.crop import crop_box
from starlight_exporter.detector.decoding import DecodedImage, zero_padded
from starlight_exporter.detector.features import byte_statistics, standard_deviation


def tensors(
    decoded: DecodedImage,
    streams: Collection[Stream] = STREAMS,
    *,
    out: Mapping[Stream, Tensor] | None = None,
) -> dict[Stream, Tensor]:
    """Return float32 arrays of shape STREAM_SHAPES[stream], without batch axis, for the given streams.

    The arrays are those of `out` (see `workspace`) or new ones. Streams that the image does not have are shared,
    read-only arrays of zeros.
    """
    bits = low_bits(decoded.rgb) if "lsb" in streams or "content" in streams else None
    result: dict[Stream, Tensor] = {}
    for stream in streams:
        if _is_absent(decoded, stream):
            result[stream] = _ZEROS[stream]
            continue
        array = result[stream] = np.empty(STREAM_SHAPES[stream], np.float32) if out is None else out[stream]
        match stream:
            case "pixel":
                unit_interval(decoded.rgb, array)
            case "meta":
                unit_interval(zero_filled(decoded.meta, META_BYTES), array)
            case "alpha":
                assert decoded.alpha is not None
                fill_alpha(alpha_crop(decoded.alpha), array)
            case "lsb":
                array[...] = bits
            case "palette":
                unit_interval(zero_filled(decoded.palette, PALETTE_BYTES), array)
            case "palette_lsb":
                assert decoded.luma is not None
                array[0] = low_bits(decoded.luma)
            case "format":
                array[...] = format_features(decoded)
            case "content":
                assert bits is not None
                array[:3] = byte_statistics(bits)
                array[3:] = 0 if decoded.alpha is None else byte_statistics(low_bits(decoded.alpha))
    return result


def _shared_zeros() -> dict[Stream, Tensor]:
    zeros = {stream: np.zeros(shape, np.float32) for stream, shape in STREAM_SHAPES.items()}
    for array in zeros.values():
        array.flags.writeable = False
    return zeros


# Shared, because filling an array with zeros again takes time and displaces other data from the CPU cache.
_ZEROS: Final = _shared_zeros()


def _is_absent(decoded: DecodedImage, stream: Stream) -> bool:
    match stream:
        case "alpha":
            return decoded.alpha is None
        case "palette_lsb":
            return decoded.luma is None
        case "palette":
            return not decoded.palette
        case "meta":
            return not decoded.meta
        case _:
            return False


def workspace(streams: Collection[Stream] = STREAMS) -> dict[Stream, Tensor]:
    """Allocate arrays for `tensors(..., out=)`, one set per thread.

    The page faults of newly allocated memory (2.3 MB per image) cost more time than the computation.
    """
    return {stream: np.empty(STREAM_SHAPES[stream], np.float32) for stream in streams}


class ThreadWorkspace(threading.local):
    """A `workspace` per thread."""

    def __init__(self, streams: Collection[Stream]) -> None:
        self.arrays = workspace(streams)


def low_bits(plane: ByteArray) -> ByteArray:
    """Return the lowest bit of every byte as 0 or 1."""
    bits: ByteArray = np.bitwise_and(plane, np.uint8(1))
    return bits


def unit_interval(values: ByteArray, out: Tensor) -> None:
    """Write bytes divided by 255 to `out` as float32."""
    # A division, because the product with 1/255 differs for 126 of the 256 values.
    np.divide(values, np.float32(255), out=out, dtype=np.float32)


def zero_filled(source: bytes, length: int) -> ByteArray:
    """Return `source` as an array of `length` bytes, padded with zeros."""
    return np.frombuffer(source.ljust(length, b"\0"), np.uint8)


def alpha_crop(plane: ByteArray) -> ByteArray:
    """Return the centre crop (256, 256) of a full alpha plane."""
    height, width = plane.shape
    left, top, right, bottom = crop_box(width, height)
    crop: ByteArray = zero_padded(plane[np.newaxis, top:bottom, left:right])[0]
    return crop


def fill_alpha(crop: ByteArray | None, array: Tensor) -> None:
    """Write both planes of the stream `alpha`, zeros without a crop."""
    if crop is None:
        array[...] = 0
        return
    unit_interval(crop, array[0])
    array[1] = low_bits(crop)


def format_features(decoded: DecodedImage) -> tuple[float, ...]:
    """Return the six values of the stream `format`."""
    return (
        float(decoded.mode == "RGBA"),
        0.0 if decoded.alpha is None else standard_deviation(decoded.alpha) / 255.0,
        float(decoded.mode == "P"),
        float(decoded.mode == "RGB"),
        decoded.width / 256.0,
        decoded.height / 256.0,
    )
