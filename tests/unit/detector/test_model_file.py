"""Loading of model files: external data, invalid content, missing files."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from starlight_exporter.detector.model import Detector
from starlight_exporter.detector.model_file import model_sha256, model_sha256_or_none, read_model
from starlight_exporter.detector.model_graph import GraphFacts, graph_facts
from starlight_exporter.errors import ModelError
from support.models import write_random_model


def test_rejects_a_model_with_external_data(tmp_path: Path) -> None:
    model = onnx.load(str(write_random_model(tmp_path / "complete.onnx")))
    path = tmp_path / "model.onnx"
    onnx.save(model, str(path), save_as_external_data=True, location="weights.bin", size_threshold=0)
    assert (tmp_path / "weights.bin").stat().st_size > 0
    with pytest.raises(ModelError) as error:
        Detector.load(path)
    assert error.value.reason == "invalid"
    assert str(error.value) == f"{path}: its weights are in another file, weights.bin; save it as one file"
    onnx.save(onnx.load(str(path)), str(path))
    assert Detector.load(path).sha256 != Detector.load(tmp_path / "complete.onnx").sha256


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
def test_finds_external_data_in_every_part_of_a_model(model: onnx.ModelProto) -> None:
    facts = graph_facts(model.SerializeToString())
    assert facts is not None
    assert facts.external_file == "weights.bin"


def test_self_contained_models_and_invalid_files_have_no_external_data(tmp_path: Path) -> None:
    assert graph_facts(write_random_model(tmp_path / "model.onnx").read_bytes()) == GraphFacts(None, ())
    assert graph_facts(b"not a model") is None


@pytest.mark.parametrize("content", [b"", b"not a model", b"\x08\x08"])
def test_rejects_files_that_are_not_models(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    with pytest.raises(ModelError, match="not a loadable ONNX model") as error:
        Detector.load(path)
    assert error.value.reason == "invalid"


def test_rejects_missing_files_and_folders(tmp_path: Path) -> None:
    for path, reason in ((tmp_path / "none.onnx", "missing"), (tmp_path, "unreadable")):
        with pytest.raises(ModelError, match=str(path)) as error:
            Detector.load(path)
        assert error.value.reason == reason


def test_rejects_a_pipe_instead_of_waiting_for_a_writer(tmp_path: Path) -> None:
    pipe = tmp_path / "model.onnx"
    os.mkfifo(pipe)
    # Ends a reader that waits, so that the test fails.
    writer = threading.Timer(5.0, lambda: os.close(os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)))
    writer.start()
    for read in (read_model, model_sha256):
        with pytest.raises(ModelError, match=r"model\.onnx: cannot be read: is a named pipe") as error:
            read(pipe)
        assert error.value.reason == "unreadable"
    assert model_sha256_or_none(pipe) is None
    writer.cancel()
