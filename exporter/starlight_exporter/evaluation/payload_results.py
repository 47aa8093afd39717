"""Result types of an evaluation by payload, and the fixed bins of embedding rates and image sizes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, get_args

from starlight_exporter.dataset.embedding import RateUnit
from starlight_exporter.detector.contract import Method
from starlight_exporter.statistics.bins import Bins
from starlight_exporter.statistics.intervals import Proportion
from starlight_exporter.statistics.isotonic import CurvePoint, DoseAtLevel

SliceProperty = Literal["size", "reaches_crop", "bit_order", "source", "format"]
SLICE_PROPERTIES: Final[tuple[SliceProperty, ...]] = get_args(SliceProperty)

DETECTION_LEVELS: Final = (0.5, 0.95)
"""Detection rates whose embedding rate is reported."""
MAX_SOURCES: Final = 64
OTHER_SOURCES: Final = "other"
"""Name of the slice of all sources beyond the MAX_SOURCES with most images."""

_BITS: Final = Bins(tuple(float(f"{digit}e{power}") for power in range(-4, 1) for digit in (1, 2, 5))[:-1])
_BYTES: Final = Bins(tuple(float(f"{digit}e{power}") for power in range(1, 6) for digit in (1, 2, 5)))
RATE_BINS: Final[dict[RateUnit, Bins]] = {"bits per pixel": _BITS, "bits per palette index": _BITS, "bytes": _BYTES}
"""Embedding rates in steps of 1, 2, 5: from 0.0001 to 2 bits, and from 10 to 500,000 bytes."""
SIZE_BINS: Final = Bins(tuple(float(side * side) for side in (64, 128, 256, 512, 1024, 2048, 4096)))
"""Pixels of an image; the edges are squares of 64, 128, … 4,096 pixels per side."""


@dataclass(frozen=True, slots=True)
class RateBin:
    """Detections of one method in a bin of RATE_BINS; `mean_rate` is in the unit of the method."""

    name: str
    mean_rate: float
    detections: Proportion


@dataclass(frozen=True, slots=True)
class MethodPayload:
    """Detection of one method by embedding rate.

    `images` are the measured stego images of known rate, `unknown` those without. `bins` has no empty bin. `curve` and
    `thresholds` (at DETECTION_LEVELS) are an isotonic regression of the images with a payload of at least 1 byte; both
    are empty without such an image. The curve, which is for charts, is rounded to four significant digits.
    """

    unit: RateUnit
    images: int
    unknown: int
    bins: tuple[RateBin, ...]
    curve: tuple[CurvePoint, ...]
    thresholds: tuple[DoseAtLevel, ...]


@dataclass(frozen=True, slots=True)
class PropertySlice:
    """Detections and false positives of the images with one value of a property; None without such images."""

    name: str
    detections: Proportion | None
    false_positives: Proportion | None


@dataclass(frozen=True, slots=True)
class PayloadResult:
    """Rates by payload and by properties of the images.

    `methods` has the methods with a stego image of known rate; `not_measured` is the reason if there is none.
    `slices` has the properties that are known of any image, and only values that occur. False positives by format are
    in `Evaluation.clean_by_format`.
    """

    methods: dict[Method, MethodPayload]
    not_measured: str | None
    slices: dict[SliceProperty, tuple[PropertySlice, ...]]
