"""What the shipped reference models declare: inputs, outputs, size. Imports no PyTorch."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, Literal

from starlight_exporter.detector.contract import BIT_ORDER_INPUT, INPUT_STREAMS, STREAM_SHAPES, Stream

VariantName = Literal["v3", "v4", "v4_triplet_loss", "v4_adversarial_hardened"]
Objective = Literal["verdict", "triplet", "adversarial"]

LARGEST_MODEL_BYTES: Final = 3_000_000
EMBEDDING: Final = 64


@dataclass(frozen=True, slots=True)
class Variant:
    """One architecture: its ONNX inputs in order, how many alpha planes it reads, the width of its
    text reader, and what it is trained for.
    """

    name: VariantName
    inputs: tuple[str, ...]
    alpha_planes: int
    reader_width: int
    objective: Objective
    title: str

    @property
    def streams(self) -> tuple[Stream, ...]:
        """The streams that the inputs read; `bit_order` is a constant and reads none."""
        return tuple(INPUT_STREAMS[name] for name in self.inputs if name != BIT_ORDER_INPUT)

    def input_shape(self, name: str) -> tuple[int, ...]:
        """Shape of one input without the batch axis."""
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
        title="six streams, without pixels and palette LSBs, in the style of the older exports",
    ),
    "v4": _V4,
    "v4_triplet_loss": replace(
        _V4,
        name="v4_triplet_loss",
        objective="triplet",
        title="all eight streams, trained with a triplet loss on the embedding besides",
    ),
    "v4_adversarial_hardened": replace(
        _V4,
        name="v4_adversarial_hardened",
        objective="adversarial",
        title="all eight streams, trained with adversarial examples and mined hard negatives besides",
    ),
}
