"""The optional output `embedding`: read from full and staged models, and never a reason to refuse a model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from starlight_exporter.detector.agreement import difference
from starlight_exporter.detector.compact import CompactImage
from starlight_exporter.detector.contract import EMBEDDING_SIZE, METHODS, STREAMS
from starlight_exporter.detector.decision import PLAIN
from starlight_exporter.detector.graph_cut import GraphCut, cut_graph
from starlight_exporter.detector.model import Detector, Score
from starlight_exporter.detector.staged import FullModel, StagedModel, stage
from starlight_exporter.errors import ImageError
from starlight_exporter.evaluation.scorers import synthetic_images
from support.graphs import GraphBuilder, convolved, save
from support.models import write_random_model

SIZE = EMBEDDING_SIZE


def scores(found: list[Score | ImageError]) -> list[Score]:
    measured = [one for one in found if isinstance(one, Score)]
    assert len(measured) == len(found)
    return measured


def images(count: int = 20) -> list[CompactImage]:
    return [synthetic_images()[number % 2] for number in range(count)]


def two_stage_model(path: Path) -> Path:
    """Write a model with two encoders, whose embedding is an intermediate value of the head."""
    graph = GraphBuilder(3)
    joined = graph.node("Concat", [convolved(graph, "pixel"), convolved(graph, "meta")], axis=1)
    weights = graph.random_weights(SIZE, 16)
    graph.nodes.append(helper.make_node("Gemm", [joined, weights], ["embedding"], transB=1))
    active = graph.node("Relu", ["embedding"])
    for name, size in (("stego_logits", 1), ("method_logits", len(METHODS))):
        graph.nodes.append(helper.make_node("Gemm", [active, graph.random_weights(size, SIZE)], [name], transB=1))
    outputs = [("stego_logits", 1), ("method_logits", len(METHODS)), ("embedding", SIZE)]
    return save(graph.model(["pixel", "meta"], outputs, dynamic_shapes=False), path)


def with_added_values(path: Path, value: float) -> Path:
    """Add a value to the output `embedding` of a model, not to what its other outputs depend on."""
    model = onnx.load(str(path))
    for node in model.graph.node:
        for names in (node.input, node.output):
            names[:] = ["hidden" if name == "embedding" else name for name in names]
    model.graph.initializer.append(numpy_helper.from_array(np.full((1, SIZE), value, np.float32), "added"))
    model.graph.node.append(helper.make_node("Add", ["hidden", "added"], ["embedding"]))
    return save(model, path)


def write_changed(path: Path, kind: str, *attributes: object) -> Path:
    """Write a model whose output `embedding` passes through another operator."""
    model = onnx.load(str(write_random_model(path, embedding_size=SIZE)))
    (producer,) = (node for node in model.graph.node if "embedding" in node.output)
    producer.output[0] = "original"
    (output,) = (value for value in model.graph.output if value.name == "embedding")
    if kind == "Cast":
        model.graph.node.append(helper.make_node("Cast", ["original"], ["embedding"], to=attributes[0]))
        output.type.tensor_type.elem_type = attributes[0]
    elif kind == "Reshape":
        model.graph.initializer.append(numpy_helper.from_array(np.array(attributes, np.int64), "shape"))
        model.graph.node.append(helper.make_node("Reshape", ["original", "shape"], ["embedding"]))
        output.CopyFrom(helper.make_tensor_value_info("embedding", TensorProto.FLOAT, None))
    else:
        model.graph.node.append(helper.make_node(kind, ["original"], ["embedding"]))
        output.CopyFrom(helper.make_tensor_sequence_value_info("embedding", TensorProto.FLOAT, None))
    onnx.save_model(model, str(path))
    return path


@pytest.mark.parametrize("method_output", [True, False])
def test_full_model_returns_its_embedding(tmp_path: Path, method_output: bool) -> None:
    model = write_random_model(tmp_path / "model.onnx", method_output=method_output, embedding_size=SIZE)
    detector = Detector.load(model)
    assert detector.embedding_problem is None
    assert detector.used_outputs == ("stego_logits", *(["method_logits"] if method_output else []), "embedding")
    zeros, noise = scores(FullModel(detector).score(images(2)))
    assert zeros.embedding is not None
    assert noise.embedding is not None
    assert noise.embedding.shape == (SIZE,)
    assert noise.embedding.dtype == np.float32
    assert not np.array_equal(zeros.embedding, noise.embedding)


def test_embedding_does_not_change_the_scores(tmp_path: Path) -> None:
    with_embedding = Detector.load(write_random_model(tmp_path / "a.onnx", embedding_size=SIZE))
    without = Detector.load(write_random_model(tmp_path / "b.onnx"))
    assert FullModel(with_embedding).score(images()) == FullModel(without).score(images())
    assert without.embedding_problem == ""
    assert scores(FullModel(without).score(images(1)))[0].embedding is None


def test_staged_model_returns_the_embedding_of_the_full_model(tmp_path: Path) -> None:
    detector = Detector.load(two_stage_model(tmp_path / "model.onnx"))
    staged = stage(detector, images(2), PLAIN)
    assert isinstance(staged, StagedModel)
    for ours, theirs in zip(scores(staged.score(images())), scores(FullModel(detector).score(images())), strict=True):
        assert ours.embedding is not None
        assert ours.embedding == pytest.approx(theirs.embedding, abs=1e-5)


def test_staged_model_with_another_embedding_is_refused(tmp_path: Path) -> None:
    detector = Detector.load(two_stage_model(tmp_path / "model.onnx"))
    other = with_added_values(two_stage_model(tmp_path / "other.onnx"), 0.001)
    graph = cut_graph(other.read_bytes(), {entry.name: entry.shape for entry in detector.inputs}, detector.used_outputs)
    assert isinstance(graph, GraphCut)
    staged = StagedModel(detector, graph, PLAIN, batch=1)
    text = difference(detector, images(2), staged.outputs(images(2)))
    assert text == "output embedding differs on sample 0"


def test_constant_embedding_is_not_run_in_batches(tmp_path: Path) -> None:
    model = onnx.load(str(two_stage_model(tmp_path / "model.onnx")))
    for node in model.graph.node:
        for names in (node.input, node.output):
            names[:] = ["hidden" if name == "embedding" else name for name in names]
    model.graph.initializer.append(numpy_helper.from_array(np.ones((1, SIZE), np.float32), "constant"))
    model.graph.node.append(helper.make_node("Identity", ["constant"], ["embedding"]))
    detector = Detector.load(save(model, tmp_path / "constant.onnx"))
    assert detector.embedding_problem is None
    staged = stage(detector, images(2), PLAIN)
    assert isinstance(staged, StagedModel)
    for one in scores(staged.score(images(20))):
        assert one.embedding is not None
        assert one.embedding.tolist() == [1.0] * SIZE


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_embedding_that_is_not_finite_does_not_fail_the_image(tmp_path: Path, value: float) -> None:
    detector = Detector.load(with_added_values(two_stage_model(tmp_path / "model.onnx"), value))
    staged = stage(detector, images(2), PLAIN)
    assert isinstance(staged, StagedModel)
    for one in scores(staged.score(images())):
        assert one.embedding is not None
        assert not np.isfinite(one.embedding).any()


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (("Cast", TensorProto.DOUBLE), "embedding tensor(double)"),
        (("Cast", TensorProto.FLOAT16), "embedding tensor(float16)"),
        (("Reshape", -1, 8, 8), "embedding N×8×8"),
        (("Reshape", -1), "embedding N"),
        (("SequenceConstruct",), "embedding seq(tensor(float))"),
    ],
)
def test_unsupported_output_is_a_reason(tmp_path: Path, change: tuple[str, int], found: str) -> None:
    detector = Detector.load(write_changed(tmp_path / "model.onnx", *change))
    assert detector.embedding_problem is not None
    assert detector.embedding_problem.startswith(f"output {found}")
    assert detector.embedding_problem.endswith(f", expected tensor(float) N×{SIZE}")
    assert scores(FullModel(detector).score(images(1)))[0].embedding is None
    assert detector.used_outputs == ("stego_logits", "method_logits")


def test_embedding_of_another_length_is_a_reason(tmp_path: Path) -> None:
    detector = Detector.load(write_random_model(tmp_path / "model.onnx", streams=STREAMS, embedding_size=SIZE // 2))
    assert detector.embedding_problem == f"output embedding N×{SIZE // 2}, expected tensor(float) N×{SIZE}"
