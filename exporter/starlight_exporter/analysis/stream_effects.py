"""Result types of an ablation. Light to import: who only shows them needs no ONNX runtime."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from starlight_exporter.analysis.comparison import PairedSlice
from starlight_exporter.analysis.modes import AblationMode
from starlight_exporter.detector.contract import Method, Stream
from starlight_exporter.evaluation.results import Provenance
from starlight_exporter.statistics.intervals import Interval, Proportion

State = Literal["measured", "not measurable", "absent"]


@dataclass(frozen=True, slots=True)
class StreamEffect:
    """A model without one stream. Everything but `changed` is None or empty unless the state is "measured".

    `changed`: images whose input really differed, of those measured. `log_loss_increase`: mean over clean and stego
    images of what the loss (nats) grows by, with its paired 95 % interval. `slices`: verdicts flipped against the full
    model, with exact McNemar tests: "broken" ones the stream got right.
    """

    stream: Stream
    state: State
    changed: Proportion
    clean: Proportion | None
    stego: Proportion | None
    detections: Mapping[Method, Proportion]
    log_loss: float | None
    log_loss_increase: Interval | None
    slices: Mapping[str, PairedSlice]


@dataclass(frozen=True, slots=True)
class Ablation:
    """The full model's figures on the images, and each stream's effect: most harmful to lose first, absent ones last.

    `images` were measured with and without every stream; the others gave no verdict on at least one of these ways.
    """

    mode: AblationMode
    images: int
    not_measured: int
    clean: Proportion
    stego: Proportion
    detections: Mapping[Method, Proportion]
    log_loss: float | None
    effects: tuple[StreamEffect, ...]


@dataclass(frozen=True, slots=True)
class AblationStudy:
    """One ablation with what it was made of and from; times are UTC seconds."""

    model: str
    dataset: str
    provenance: Provenance
    started_at: float
    finished_at: float
    ablation: Ablation
