"""Rates that complete and provisional results have: labels and names of their families."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class RateSlice:
    """Labels, names of the families, and texts: `images` is the denominator, `counted` the numerator."""

    labels: str
    total: str
    count: str
    ratio: str
    images: str
    counted: str


_AS_STEGO: Final = "classified as stego"

CLEAN: Final = RateSlice(
    labels="model dataset",
    total="clean_images",
    count="false_positives",
    ratio="false_positive_ratio",
    images="clean images",
    counted=_AS_STEGO,
)
CLEAN_BY_FORMAT: Final = RateSlice(
    labels="model dataset format",
    total="format_clean_images",
    count="format_false_positives",
    ratio="format_false_positive_ratio",
    images="clean images by format",
    counted=_AS_STEGO,
)
NEGATIVES: Final = RateSlice(
    labels="model dataset category",
    total="negative_images",
    count="negative_false_positives",
    ratio="negative_false_positive_ratio",
    images="hard negatives by category",
    counted=_AS_STEGO,
)
STEGO: Final = RateSlice(
    labels="model dataset method",
    total="stego_images",
    count="detections",
    ratio="detection_ratio",
    images="stego images by method",
    counted=f"{_AS_STEGO}, with any predicted method",
)
