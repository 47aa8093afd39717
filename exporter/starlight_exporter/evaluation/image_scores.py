"""Scores of images without labels; importable without ONNX Runtime."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from starlight_exporter.detector.contract import ImageFormat, Method, Stream
from starlight_exporter.errors import NotMeasuredReason


@dataclass(frozen=True, slots=True)
class ImageScore:
    """Score of one image. `path` is the path as given, or the path of the given folder with the path below it.

    `verdict` is True for stego; it and `probability` (of stego, 0..1) are None if the image was not measured, and
    `not_measured` is the reason then, `detail` a text that states it. `predicted_method` is None for a model that
    predicts no method. `nonzero` is the share (0..1) of the values of each stream that are not zero: 0 means that the
    image does not have what the stream contains. It is empty if the image was not decoded.
    """

    path: str
    verdict: bool | None
    probability: float | None
    predicted_method: Method | None
    not_measured: NotMeasuredReason | None
    detail: str
    image_format: ImageFormat | None
    width: int | None
    height: int | None
    sha256: str
    nonzero: Mapping[Stream, float]


@dataclass(frozen=True, slots=True, eq=False)
class Scoring:
    """Scores of images by one model.

    `decision` is the applied decision rule, `replaced_decision` the requested one if it needs a method and the model
    predicts none. `streams` are those that the model reads. `images` is the number of files; iterate over `scores` once
    to compute their scores, in order.
    """

    model: Path
    model_sha256: str
    decision: str
    replaced_decision: str | None
    streams: tuple[Stream, ...]
    images: int
    scores: Iterator[ImageScore] = field(repr=False)
    warnings: tuple[str, ...] = ()
