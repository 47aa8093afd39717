"""Export to one ONNX file with dynamic batch size and embedded weights, verified against the PyTorch network."""

from __future__ import annotations

import logging
import tempfile
import warnings
from pathlib import Path

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import Tensor

from starlight_exporter.detector.contract import BIT_ORDER_INPUT, BIT_ORDER_VALUE
from starlight_exporter.errors import ModelError
from starlight_exporter.files import write_bytes
from training.network import ReferenceNetwork
from training.session import max_difference, run_file
from training.variants import MAX_MODEL_BYTES, OUTPUTS, Variant

TOLERANCE = 1e-4
"""Largest difference between the outputs of PyTorch and of ONNX Runtime that is accepted as rounding."""


def example_inputs(variant: Variant, batch: int, *, seed: int = 0) -> tuple[Tensor, ...]:
    """Return random inputs with the value ranges of the streams: bits, otherwise n/255."""
    generator = torch.Generator().manual_seed(seed)
    inputs = []
    for name in variant.inputs:
        shape = (batch, *variant.input_shape(name))
        if name == BIT_ORDER_INPUT:
            inputs.append(torch.tensor(BIT_ORDER_VALUE).expand(shape).contiguous())
        elif name in ("lsb", "palette_lsb"):
            inputs.append(torch.randint(0, 2, shape, generator=generator).float())
        else:
            inputs.append(torch.randint(0, 256, shape, generator=generator).float() / 255.0)
            if name == "alpha" and variant.alpha_planes == 2:
                inputs[-1][:, 1] = torch.floor(inputs[-1][:, 0] * 255.0 + 0.5) % 2
    return tuple(inputs)


def export(network: ReferenceNetwork, path: Path) -> None:
    """Write `path` atomically. Raise ModelError if the file is too large or differs from the network."""
    network.eval()
    variant = network.variant
    batch = torch.export.Dim("batch")
    # The exporter logs every step and its own deprecations; the result is verified below.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.getLogger("torch.onnx").setLevel(logging.ERROR)
        program = torch.onnx.export(
            network,
            example_inputs(variant, 2),
            input_names=list(variant.inputs),
            output_names=list(OUTPUTS),
            dynamic_shapes=(tuple({0: batch} for _ in variant.inputs),),
            external_data=False,
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    with tempfile.TemporaryDirectory(prefix="starlight-export-") as folder:
        draft = Path(folder) / path.name
        program.save(str(draft), external_data=False)
        _name_batch_axis(draft)
        size = draft.stat().st_size
        if size > MAX_MODEL_BYTES:
            raise ModelError(f"{path}: {size} bytes, at most {MAX_MODEL_BYTES}", reason="invalid")
        difference = largest_difference(network, draft)
        if difference > TOLERANCE:
            raise ModelError(f"{path}: outputs differ from the network's by {difference:.2g}", reason="invalid")
        write_bytes(path, draft.read_bytes())


def largest_difference(network: ReferenceNetwork, path: Path) -> float:
    """Return the largest absolute difference of network and ONNX file for batches of 1 and 5 random inputs.

    It is infinite if an output is not finite.
    """
    worst = 0.0
    for size in (1, 5):
        inputs = example_inputs(network.variant, size, seed=size)
        with torch.no_grad():
            expected = network(*inputs)
        given: dict[str, NDArray[np.float32]] = {
            name: tensor.numpy() for name, tensor in zip(network.variant.inputs, inputs, strict=True)
        }
        for name, value in run_file(path, given).items():
            worst = max(worst, max_difference(value, expected[OUTPUTS.index(name)].numpy()))
    return worst


def _name_batch_axis(path: Path) -> None:
    """Name the batch axis `batch` in all inputs and outputs, and remove metadata that contains local paths."""
    model = onnx.load(str(path))
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "batch"
    _fill_with_zeros(model.graph)
    model.producer_name = "starlight-observability"
    model.doc_string = ""
    model.graph.doc_string = ""
    for node in model.graph.node:
        node.doc_string = ""
        del node.metadata_props[:]
    del model.metadata_props[:]
    del model.graph.metadata_props[:]
    for value in (*model.graph.value_info, *model.graph.input, *model.graph.output):
        del value.metadata_props[:]
    onnx.checker.check_model(model, full_check=True)
    onnx.save(model, str(path))


def _fill_with_zeros(graph: onnx.GraphProto) -> None:
    """Replace Expand of a zero by ConstantOfShape, which is faster for large arrays."""
    zeros = {
        value.name
        for value in graph.initializer
        if value.data_type == onnx.TensorProto.FLOAT and not value.dims and not float(onnx.numpy_helper.to_array(value))
    }
    for node in graph.node:
        if node.op_type == "Expand" and node.input[0] in zeros:
            shape = node.input[1]
            node.op_type = "ConstantOfShape"
            del node.input[:]
            node.input.append(shape)
