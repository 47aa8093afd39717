"""Loading of models: the bytes that were hashed run, the result is reproducible, and errors name the cause."""

from __future__ import annotations

import os
import pickle
import shutil
import threading
import zipfile
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from starlight_exporter.detector.arrays import Tensor
from starlight_exporter.detector.contract import STREAM_SHAPES, Stream
from starlight_exporter.detector.model import Detector
from starlight_exporter.detector.model_file import MAX_MODEL_BYTES, model_sha256, model_sha256_or_none
from starlight_exporter.detector.model_graph import graph_facts
from starlight_exporter.errors import ImageError, ModelError
from support.models import write_constant_model, write_random_model

FORMAT: dict[Stream, Tensor] = {"format": np.zeros(STREAM_SHAPES["format"], np.float32)}


def error_of(path: Path) -> ModelError:
    with pytest.raises(ModelError) as caught:
        Detector.load(path)
    assert str(caught.value).startswith(f"{path}: ")
    return caught.value


def write_model(path: Path, nodes: list[onnx.NodeProto], **outputs: tuple[int, list[object]]) -> Path:
    """Write a model with the input `format_features` and these outputs: element type and shape."""
    graph = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info("format_features", TensorProto.FLOAT, ["batch", 6])],
        [helper.make_tensor_value_info(name, kind, shape) for name, (kind, shape) in outputs.items()],
        [
            numpy_helper.from_array(np.ones((6, 1), np.float32), "ones"),
            numpy_helper.from_array(np.array(0.5, np.float32), "half"),
            numpy_helper.from_array(np.array(True), "on"),
            numpy_helper.from_array(np.array(False), "off"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)], ir_version=8)
    onnx.checker.check_model(model)
    onnx.save_model(model, str(path))
    return path


SUM = helper.make_node("MatMul", ["format_features", "ones"], ["sum"])


def with_logit(path: Path, *nodes: onnx.NodeProto, kind: int = TensorProto.FLOAT) -> Path:
    return write_model(path, [SUM, *nodes], stego_logits=(kind, ["batch", 1]))


# --- the model that was hashed is the one that runs ---


def test_hash_is_that_of_the_model_that_runs_while_the_file_is_swapped(tmp_path: Path) -> None:
    models = {path.name: path for path in (tmp_path / "a.onnx", tmp_path / "b.onnx")}
    logits = {}
    for name, logit in (("a.onnx", 2.0), ("b.onnx", -2.0)):
        logits[model_sha256(write_constant_model(models[name], logit=logit, method_logits=None))] = logit
    path, done = tmp_path / "model.onnx", threading.Event()

    def swap() -> None:
        while not done.is_set():
            for source in models.values():
                os.link(source, tmp_path / "next")
                (tmp_path / "next").rename(path)

    shutil.copyfile(models["a.onnx"], path)
    thread = threading.Thread(target=swap)
    thread.start()
    seen = set()
    try:
        for _ in range(200):
            detector = Detector.load(path)
            seen.add(detector.sha256)
            (score,) = detector.predict((FORMAT,))
            assert score.probability == pytest.approx(1 / (1 + np.exp(-logits[detector.sha256])))
    finally:
        done.set()
        thread.join()
    assert seen == set(logits)


def test_session_keeps_no_copy_of_the_file(tmp_path: Path) -> None:
    detector = Detector.load(write_random_model(tmp_path / "model.onnx"))
    assert detector._session._model_bytes is None
    assert detector.size_bytes == (tmp_path / "model.onnx").stat().st_size
    assert detector.modified_at == (tmp_path / "model.onnx").stat().st_mtime


def test_another_content_than_required_is_refused(tmp_path: Path) -> None:
    path = write_random_model(tmp_path / "model.onnx")
    assert Detector.load(path, expected_sha256=model_sha256(path))
    with pytest.raises(ModelError) as caught:
        Detector.load(path, expected_sha256="0" * 64)
    assert caught.value.reason == "changed"


def test_link_out_of_the_folder_of_models_is_not_followed(tmp_path: Path) -> None:
    models = tmp_path / "models"
    (models / "v1").mkdir(parents=True)
    (models / "v1" / "model.onnx").symlink_to(write_random_model(tmp_path / "elsewhere.onnx"))
    assert Detector.load(models / "v1" / "model.onnx")
    with pytest.raises(ModelError, match="leads out of") as caught:
        Detector.load(models / "v1" / "model.onnx", root=models)
    assert caught.value.reason == "unreadable"


@pytest.mark.timeout(60)
def test_only_a_missing_file_is_missing(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    (tmp_path / "dangling").symlink_to("nothing")
    (tmp_path / "huge").touch()
    os.truncate(tmp_path / "huge", MAX_MODEL_BYTES + 1)
    reasons = {
        name: error_of(tmp_path / name).reason for name in ("none", "dangling", "pipe", "folder", "huge", "a\0b")
    }
    assert reasons == {
        "none": "missing",
        "dangling": "missing",
        "pipe": "unreadable",
        "folder": "unreadable",
        "huge": "unreadable",
        "a\0b": "unreadable",
    }
    assert model_sha256_or_none(tmp_path / "pipe") is None


# --- content that is not a model ---


def _zip(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("archive/data.pkl", b"weights")


@pytest.mark.parametrize(
    ("content", "cause"),
    [
        (b"", "the file is empty"),
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n",
            "it is a Git LFS pointer, not the model",
        ),
        (b"\n<!DOCTYPE html><html><body>Not found</body></html>", "it is an HTML page, not a model"),
        (pickle.dumps({"weights": [1.0]}), "it is a Python pickle"),
        (b"\x1f\x8b\x08\0\0\0\0\0", "it is compressed"),
    ],
)
def test_file_that_is_not_a_model_is_named(tmp_path: Path, content: bytes, cause: str) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    error = error_of(path)
    assert error.reason == "invalid"
    assert str(error).startswith(f"{path}: not a loadable ONNX model: {cause}")


def test_archive_of_pytorch_is_named(tmp_path: Path) -> None:
    _zip(tmp_path / "model.pt")
    assert "it is a ZIP archive, such as PyTorch saves" in str(error_of(tmp_path / "model.pt"))


# --- outputs ---


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (TensorProto.STRING, "string"),
        (TensorProto.INT64, "int64"),
        (TensorProto.BOOL, "bool"),
        (TensorProto.DOUBLE, "double"),
        (TensorProto.FLOAT16, "float16"),
    ],
)
def test_output_of_another_type_is_named(tmp_path: Path, kind: int, name: str) -> None:
    cast = helper.make_node("Cast", ["sum"], ["stego_logits"], to=kind)
    error = error_of(with_logit(tmp_path / "model.onnx", cast, kind=kind))
    assert error.reason == "signature"
    assert str(error).endswith(f": output stego_logits is tensor({name}), expected tensor(float)")


def test_sequence_as_output_is_named(tmp_path: Path) -> None:
    node = helper.make_node("SequenceConstruct", ["sum"], ["stego_logits"])
    graph = helper.make_graph(
        [SUM, node],
        "test",
        [helper.make_tensor_value_info("format_features", TensorProto.FLOAT, ["batch", 6])],
        [helper.make_tensor_sequence_value_info("stego_logits", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.ones((6, 1), np.float32), "ones")],
    )
    path = tmp_path / "model.onnx"
    onnx.save_model(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)], ir_version=8), str(path))
    error = error_of(path)
    assert error.reason == "signature"
    assert "output stego_logits is seq(tensor(float)), expected tensor(float)" in str(error)


def test_unnamed_output_of_another_type_is_not_the_logit(tmp_path: Path) -> None:
    nodes = [SUM, helper.make_node("Cast", ["sum"], ["label"], to=TensorProto.INT64)]
    path = write_model(tmp_path / "model.onnx", nodes, label=(TensorProto.INT64, ["batch", 1]))
    assert str(error_of(path)).endswith("nor another of shape N×1; the model has label tensor(int64)")
    nodes.append(helper.make_node("Neg", ["sum"], ["score"]))
    outputs = {"label": (TensorProto.INT64, ["batch", 1]), "score": (TensorProto.FLOAT, ["batch", 1])}
    assert Detector.load(write_model(path, nodes, **outputs)).used_outputs == ("score",)


# --- reproducible results ---


RANDOM = {
    "RandomNormal": helper.make_node("RandomNormal", [], ["noise"], shape=[1, 1]),
    "RandomNormalLike": helper.make_node("RandomNormalLike", ["sum"], ["noise"]),
    "RandomUniform": helper.make_node("RandomUniform", [], ["noise"], shape=[1, 1], seed=1.0),
    "RandomUniformLike": helper.make_node("RandomUniformLike", ["sum"], ["noise"]),
    "Bernoulli": helper.make_node("Bernoulli", ["half"], ["noise"]),
    "Dropout": helper.make_node("Dropout", ["sum", "half", "on"], ["noise"]),
}


@pytest.mark.parametrize("name", RANDOM)
def test_model_with_random_numbers_is_refused(tmp_path: Path, name: str) -> None:
    # The difference may be too small for a verdict to change on most images.
    nodes = [RANDOM[name], helper.make_node("Add", ["sum", "noise"], ["stego_logits"])]
    error = error_of(with_logit(tmp_path / "model.onnx", *nodes))
    assert (error.reason, str(error)) == (
        "nondeterministic",
        f"{tmp_path / 'model.onnx'}: its output is random: it contains {name}",
    )


def test_random_numbers_in_a_branch_are_found(tmp_path: Path) -> None:
    def branch(kind: str) -> onnx.GraphProto:
        end = helper.make_tensor_value_info("end", TensorProto.FLOAT, None)
        return helper.make_graph([helper.make_node(kind, ["sum"], ["end"])], kind, [], [end])

    node = helper.make_node(
        "If", ["off"], ["stego_logits"], then_branch=branch("RandomNormalLike"), else_branch=branch("Neg")
    )
    assert error_of(with_logit(tmp_path / "model.onnx", node)).reason == "nondeterministic"


@pytest.mark.parametrize("inputs", [["sum"], ["sum", "half"], ["sum", "half", ""], ["sum", "half", "off"]])
def test_dropout_outside_of_training_is_accepted(tmp_path: Path, inputs: list[str]) -> None:
    node = helper.make_node("Dropout", inputs, ["stego_logits"])
    detector = Detector.load(with_logit(tmp_path / "model.onnx", node))
    assert detector.predict((FORMAT,))[0].probability == 0.5


def test_operators_of_other_domains_are_not_known_to_be_random() -> None:
    node = helper.make_node("Bernoulli", ["x"], ["y"], domain="example")
    model = helper.make_model(helper.make_graph([node], "test", [], []))
    facts = graph_facts(model.SerializeToString())
    assert facts is not None
    assert facts.random_operators == ()


def test_image_without_an_output_is_not_measured(tmp_path: Path) -> None:
    # Images with a sum of at least 0.5 have no row in the output.
    nodes = [
        helper.make_node("MatMul", ["format_features", "ones"], ["sum"]),
        helper.make_node("Reshape", ["sum", "flat"], ["sums"]),
        helper.make_node("Less", ["sums", "half"], ["chosen"]),
        helper.make_node("Compress", ["sum", "chosen"], ["stego_logits"], axis=0),
    ]
    graph = helper.make_graph(
        nodes,
        "test",
        [helper.make_tensor_value_info("format_features", TensorProto.FLOAT, ["batch", 6])],
        [helper.make_tensor_value_info("stego_logits", TensorProto.FLOAT, ["rows", 1])],
        [
            numpy_helper.from_array(np.full((6, 1), 0.01, np.float32), "ones"),
            numpy_helper.from_array(np.array([-1], np.int64), "flat"),
            numpy_helper.from_array(np.array(0.5, np.float32), "half"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)], ir_version=8)
    onnx.save_model(model, str(tmp_path / "model.onnx"))
    detector = Detector.load(tmp_path / "model.onnx")
    without: dict[Stream, Tensor] = {"format": np.full(STREAM_SHAPES["format"], 90, np.float32)}
    assert detector.predict([FORMAT])[0].probability == 0.5
    for batch in ([without], [without, FORMAT, FORMAT]):
        with pytest.raises(ImageError, match=r"output stego_logits has shape \(\d, 1\) for \d images"):
            detector.predict(batch)


def test_outputs_that_differ_between_two_runs_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # An operator whose name is not known to be random is found by its effect.
    monkeypatch.setattr("starlight_exporter.detector.model_graph._RANDOM", frozenset())
    nodes = [RANDOM["RandomNormalLike"], helper.make_node("Add", ["sum", "noise"], ["stego_logits"])]
    error = error_of(with_logit(tmp_path / "model.onnx", *nodes))
    assert error.reason == "nondeterministic"
    assert str(error).endswith(": output stego_logits differs between two runs on the same input")
