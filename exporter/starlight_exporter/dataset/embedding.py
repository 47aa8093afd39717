"""Embedding rate of a payload, and whether it reaches the part of the image that the detector reads."""

from __future__ import annotations

from typing import Final, Literal

from starlight_exporter.detector.contract import Method
from starlight_exporter.detector.crop import crop_box

RateUnit = Literal["bits per pixel", "bits per palette index", "bytes"]
RATE_UNITS: Final[dict[Method, RateUnit]] = {
    "alpha": "bits per pixel",
    "palette": "bits per palette index",
    "lsb": "bits per pixel",
    "exif": "bytes",
    "eoi": "bytes",
}
"""Unit of the embedding rate of each method."""
_BITS_PER_PIXEL: Final[dict[Method, int]] = {"alpha": 1, "palette": 1, "lsb": 3}
_PREFIX_BYTES: Final[dict[Method, int]] = {"alpha": 4}
"""Bytes before the payload: `AI42`."""


def embedding_rate(method: Method, payload_bytes: int, pixels: int | None) -> float | None:
    """Return 8 · payload bytes / pixels for methods that change pixels, the payload bytes for the others.

    None if the number of pixels is needed, but unknown. Methods in an alpha plane or a palette have at most 1 bit per
    pixel, `lsb` has three. Source: relative payload, as in Ker et al., Moving Steganography and Steganalysis from the
    Laboratory into the Real World, IH&MMSec 2013.
    """
    if method not in _BITS_PER_PIXEL:
        return float(payload_bytes)
    return 8 * payload_bytes / pixels if pixels else None


def reaches_crop(method: Method, payload_bytes: int, width: int, height: int) -> bool | None:
    """Return whether a payload that is embedded row by row from the top reaches the centre crop of the detector.

    None for methods that do not change pixels. The payload includes the prefix of `alpha`, not its terminator.
    """
    bits_per_pixel = _BITS_PER_PIXEL.get(method)
    if bits_per_pixel is None:
        return None
    left, top, *_ = crop_box(width, height)
    bits = 8 * (payload_bytes + _PREFIX_BYTES.get(method, 0)) if payload_bytes else 0
    return bits > (top * width + left) * bits_per_pixel
