"""Static quantisation of the text reader to eight bits. The exact front end stays in float32.

Dynamic quantisation would compute scales per batch, so the result of an image would depend on the other images.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

from starlight_exporter.dataset import layout
from starlight_exporter.detector.decoding import decode
from starlight_exporter.detector.model import Detector
from starlight_exporter.detector.streams import tensors
from starlight_exporter.errors import DatasetError, ImageError, ModelError
from starlight_exporter.files import write_bytes
from training.variants import MAX_MODEL_BYTES

QUANTISED = ("MatMul",)
"""Operators of the text reader and the plane encoders. Quantising the following dense layers changed verdicts."""
FIXED = "front."
"""Name prefix of the tables of the front end: powers of two and hash weights, which must stay exact."""
HEADS = ("stego_logits", "method_logits")
"""Outputs of two small layers that stay in float32, because rounding would affect every probability."""


def learned_layers(model: onnx.ModelProto) -> list[str]:
    """Return the names of the nodes to quantise: products with learned weights, without the heads."""
    stored = {value.name for value in model.graph.initializer}
    return [
        node.name
        for node in model.graph.node
        if node.op_type in QUANTISED
        and node.input[1] in stored
        and not node.input[1].startswith(FIXED)
        and node.input[0] not in stored
        and not any(output.startswith(HEADS) for output in node.output)
    ]


def quantise(source: Path, target: Path, calibration: Path, *, images: int) -> int:
    """Write `target` (QDQ, per-channel signed weights, unsigned activations); return the number of calibration images.

    It is calibrated on every n-th image of a dataset. Raise ModelError if there is nothing to quantise or the file is
    too large.
    """
    detector = Detector.load(source)
    model = onnx.load_model_from_string(detector.read_file())
    nodes = learned_layers(model)
    if not nodes:
        raise ModelError(f"{source}: has no learned layer to quantise", reason="invalid")
    reader = _Reader(calibration, detector, images)
    logging.getLogger().setLevel(logging.ERROR)
    with tempfile.TemporaryDirectory(prefix="starlight-quantise-") as folder:
        draft = Path(folder) / target.name
        quantize_static(
            str(source),
            str(draft),
            reader,
            quant_format=QuantFormat.QDQ,
            nodes_to_quantize=nodes,
            op_types_to_quantize=list(QUANTISED),
            per_channel=True,
            # Seven-bit weights: on CPUs without VNNI, products of eight-bit values saturate.
            reduce_range=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
        )
        size = draft.stat().st_size
        if size > MAX_MODEL_BYTES:
            raise ModelError(f"{target}: {size} bytes, at most {MAX_MODEL_BYTES}", reason="invalid")
        write_bytes(target, draft.read_bytes())
    return reader.count


class _Reader(CalibrationDataReader):  # type: ignore[misc]
    """Feeds one image at a time, as the exporter does."""

    def __init__(self, root: Path, detector: Detector, images: int) -> None:
        files = [file for file in layout.scan(root.name, root).files if file.problem is None]
        if not files:
            raise DatasetError(f"{root}: contains no image for calibration")
        step = max(1, len(files) // images)
        self.paths = [root / file.path for file in files[::step]][:images]
        self.detector = detector
        self.count = 0
        self._feeds = self._read()

    def get_next(self) -> dict[str, NDArray[np.float32]] | None:
        return next(self._feeds, None)

    def _read(self) -> Iterator[dict[str, NDArray[np.float32]]]:
        for path in self.paths:
            try:
                streams = tensors(decode(path.read_bytes()), self.detector.streams)
            except ImageError:
                continue
            self.count += 1
            yield self.detector.feeds([streams])
