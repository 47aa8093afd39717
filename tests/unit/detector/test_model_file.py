"""Which files are loaded as models at all, and what is said of those that are not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from starlight_exporter.detector.external_data import external_data_file
from starlight_exporter.detector.model import Detector
from starlight_exporter.errors import ModelError
from support.models import write_random_model


def test_a_model_with_weights_in_another_file_is_refused(tmp_path: Path) -> None:
    model = onnx.load(str(write_random_model(tmp_path / "whole.onnx")))
    path = tmp_path / "model.onnx"
    onnx.save(model, str(path), save_as_external_data=True, location="weights.bin", size_threshold=0)
    assert (tmp_path / "weights.bin").stat().st_size > 0
    with pytest.raises(ModelError) as error:
        Detector.load(path)
    assert error.value.reason == "invalid"
    assert str(error.value) == f"{path}: its weights are in another file, weights.bin; save it as one file"
    onnx.save(onnx.load(str(path)), str(path))
    assert Detector.load(path).sha256 != Detector.load(tmp_path / "whole.onnx").sha256


def external() -> onnx.TensorProto:
    tensor = numpy_helper.from_array(np.ones(4, np.float32), "weights")
    onnx.external_data_helper.set_external_data(tensor, "weights.bin")
    tensor.ClearField("raw_data")
    return tensor


def graph(*nodes: onnx.NodeProto, weights: tuple[onnx.TensorProto, ...] = ()) -> onnx.GraphProto:
    output = helper.make_tensor_value_info("out", TensorProto.FLOAT, None)
    return helper.make_graph(nodes, "graph", [], [output], weights)


def constant(**value: object) -> onnx.NodeProto:
    return helper.make_node("Constant", [], ["out"], **value)


def branch(inside: onnx.GraphProto) -> onnx.NodeProto:
    return helper.make_node("If", ["condition"], ["out"], then_branch=inside, else_branch=graph())


@pytest.mark.parametrize(
    "model",
    [
        helper.make_model(graph(weights=(external(),))),
        helper.make_model(graph(constant(value=external()))),
        helper.make_model(graph(branch(graph(weights=(external(),))))),
        helper.make_model(
            graph(
                constant(sparse_value=helper.make_sparse_tensor(external(), numpy_helper.from_array(np.arange(4)), [4]))
            )
        ),
        helper.make_model(
            graph(),
            functions=[
                helper.make_function(
                    "own", "F", [], ["out"], [branch(graph(weights=(external(),)))], [helper.make_opsetid("", 13)]
                )
            ],
        ),
    ],
    ids=["initializer", "constant", "branch", "sparse", "function"],
)
def test_the_other_file_is_found_wherever_it_is_named(model: onnx.ModelProto) -> None:
    assert external_data_file(model.SerializeToString()) == "weights.bin"


def test_what_is_one_file_or_no_model_names_none(tmp_path: Path) -> None:
    assert external_data_file(write_random_model(tmp_path / "model.onnx").read_bytes()) is None
    assert external_data_file(b"no model") is None


@pytest.mark.parametrize("content", [b"", b"no model", b"\x08\x08"])
def test_what_is_no_model_is_told_as_before(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    with pytest.raises(ModelError, match="not a loadable ONNX model") as error:
        Detector.load(path)
    assert error.value.reason == "invalid"


def test_a_file_that_is_not_there_or_a_folder_is_told(tmp_path: Path) -> None:
    for path, reason in ((tmp_path / "none.onnx", "missing"), (tmp_path, "unreadable")):
        with pytest.raises(ModelError, match=str(path)) as error:
            Detector.load(path)
        assert error.value.reason == reason
