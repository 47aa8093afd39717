"""The part of an image that the detector reads."""

from __future__ import annotations

from starlight_exporter.detector.contract import CROP


def crop_box(width: int, height: int) -> tuple[int, int, int, int]:
    """Return left, top, right and bottom of the centre crop: at most 256 pixels per axis, the full axis if shorter."""
    left, right = _crop_span(width)
    top, bottom = _crop_span(height)
    return left, top, right, bottom


def _crop_span(size: int) -> tuple[int, int]:
    if size <= CROP:
        return 0, size
    start = round((size - CROP) / 2.0)
    return start, start + CROP
