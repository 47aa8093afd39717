"""Result types of an ablation. Light to import: presenting results does not need ONNX Runtime."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from starlight_exporter.analysis.comparison import PairedSlice
from starlight_exporter.analysis.modes import AblationMode
from starlight_exporter.detector.contract import Method, Stream
from starlight_exporter.evaluation.results import Provenance
from starlight_exporter.statistics.intervals import Interval, Proportion

EffectState = Literal["measured", "not measurable", "absent"]


@dataclass(frozen=True, slots=True)
class StreamEffect:
    """Results of a model without one stream; all but `changed` are None or empty unless the state is `measured`.

    `changed` counts the images whose input differs. `log_loss_increase` is the importance of the stream: the mean
    increase of the log loss (nats) over clean and stego images, with its paired 95% interval. `slices` compares the
    verdicts with those of the full model: a broken image is correct only with the stream.
    """

    stream: Stream
    state: EffectState
    changed: Proportion
    clean: Proportion | None
    stego: Proportion | None
    detections: Mapping[Method, Proportion]
    log_loss: float | None
    log_loss_increase: Interval | None
    slices: Mapping[str, PairedSlice]


@dataclass(frozen=True, slots=True)
class Ablation:
    """Results of the full model, and the effect of each stream: most important first, absent streams last.

    `images` counts the images measured with and without every stream; all others are `not_measured`.
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
    """An ablation with its provenance; times are UTC seconds."""

    model: str
    dataset: str
    provenance: Provenance
    started_at: float
    finished_at: float
    ablation: Ablation
