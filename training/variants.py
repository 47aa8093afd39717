"""Architectures of the shipped reference models: inputs, outputs, size. Does not import PyTorch."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, Literal

from starlight_exporter.detector.contract import BIT_ORDER_INPUT, INPUT_STREAMS, STREAM_SHAPES, Stream

VariantName = Literal["v3", "v4", "v4_triplet_loss", "v4_adversarial_hardened"]
Objective = Literal["verdict", "triplet", "adversarial"]

MAX_MODEL_BYTES: Final = 3_000_000
EMBEDDING: Final = 64


@dataclass(frozen=True, slots=True)
class Variant:
    """One architecture: ONNX inputs in order, number of alpha planes, width of the text reader, training objective."""

    name: VariantName
    inputs: tuple[str, ...]
    alpha_planes: int
    reader_width: int
    objective: Objective
    title: str

    @property
    def streams(self) -> tuple[Stream, ...]:
        """The streams of the inputs; `bit_order` is a constant without a stream."""
        return tuple(INPUT_STREAMS[name] for name in self.inputs if name != BIT_ORDER_INPUT)

    def input_shape(self, name: str) -> tuple[int, ...]:
        """Return the shape of an input without the batch axis."""
        if name == BIT_ORDER_INPUT:
            return (3,)
        if name == "alpha":
            return (self.alpha_planes, *STREAM_SHAPES["alpha"][1:])
        return STREAM_SHAPES[INPUT_STREAMS[name]]


OUTPUTS: Final = ("stego_logits", "method_logits", "method_probs", "embedding")

_V4: Final = Variant(
    name="v4",
    inputs=(
        "pixel_tensor",
        "meta",
        "alpha",
        "lsb",
        "palette",
        "palette_lsb",
        "format_features",
        "content_features",
    ),
    alpha_planes=2,
    reader_width=48,
    objective="verdict",
    title="all eight streams",
)

VARIANTS: Final[dict[VariantName, Variant]] = {
    "v3": Variant(
        name="v3",
        inputs=("meta", "alpha", "lsb", "palette", "format_features", "content_features", BIT_ORDER_INPUT),
        alpha_planes=1,
        reader_width=32,
        objective="verdict",
        title="six streams, without pixels and palette LSBs, like older exports",
    ),
    "v4": _V4,
    "v4_triplet_loss": replace(
        _V4,
        name="v4_triplet_loss",
        objective="triplet",
        title="all eight streams, with an additional triplet loss on the embedding",
    ),
    "v4_adversarial_hardened": replace(
        _V4,
        name="v4_adversarial_hardened",
        objective="adversarial",
        title="all eight streams, with adversarial examples and mined hard negatives",
    ),
}
