"""Unit of the embedding rate of a payload, and whether it reaches the part of the image that the detector reads."""

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
