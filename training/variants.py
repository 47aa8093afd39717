"""What the shipped reference models declare: inputs, outputs, size. Imports no PyTorch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from exporter.detector.contract import BIT_ORDER_INPUT, INPUT_STREAMS, STREAM_SHAPES, Stream

VariantName = Literal["v3", "v4"]

LARGEST_MODEL_BYTES: Final = 3_000_000
EMBEDDING: Final = 64


@dataclass(frozen=True, slots=True)
class Variant:
    """One architecture: its ONNX inputs in order, how many alpha planes it reads, and the width of its encoders."""

    name: VariantName
    inputs: tuple[str, ...]
    alpha_planes: int
    plane_channels: int
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

VARIANTS: Final[dict[VariantName, Variant]] = {
    "v3": Variant(
        name="v3",
        inputs=("meta", "alpha", "lsb", "palette", "format_features", "content_features", BIT_ORDER_INPUT),
        alpha_planes=1,
        plane_channels=24,
        title="six streams, without pixels and palette LSBs, in the style of the older exports",
    ),
    "v4": Variant(
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
        plane_channels=32,
        title="all eight streams",
    ),
}
