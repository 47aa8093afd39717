"""Every kind of model that docs/detector.md allows runs with the commands of the README, without further flags."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from starlight_exporter.cli import main as starlight
from starlight_exporter.detector.contract import BIT_ORDER_INPUT, INPUT_STREAMS, METHODS, STREAM_SHAPES
from starlight_exporter.detector.decision import PLAIN, PRODUCTION

pytestmark = pytest.mark.slow

INPUTS = (*INPUT_STREAMS, BIT_ORDER_INPUT)
METHOD_OUTPUTS = ("method_logits", "method_probs", "method_id", "unnamed")


def write_model(
    path: Path,
    inputs: Sequence[str],
    *,
    method: str | None = None,
    batch: object = "batch",
    logit: str = "stego_logits",
) -> Path:
    """Write a model whose logit is the sum of the means of its inputs, and whose method is always `lsb`."""
    nodes, declared, means = [], [], []
    for name in inputs:
        shape = (3,) if name == BIT_ORDER_INPUT else STREAM_SHAPES[INPUT_STREAMS[name]]
        declared.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, [batch, *shape]))
        nodes.append(helper.make_node("Flatten", [name], [f"{name}_flat"], axis=1))
        nodes.append(helper.make_node("ReduceMean", [f"{name}_flat"], [f"{name}_mean"], axes=[1], keepdims=1))
        means.append(f"{name}_mean")
    nodes.append(helper.make_node("Sum", means, [logit]))
    outputs = [helper.make_tensor_value_info(logit, TensorProto.FLOAT, [batch, 1])]
    lsb = np.eye(len(METHODS), dtype=np.float32)[[METHODS.index("lsb")]]
    constants = [numpy_helper.from_array(lsb, "is_lsb"), numpy_helper.from_array(np.zeros((1, 1), np.float32), "zero")]
    if method is not None:
        nodes.append(helper.make_node("Mul", [logit, "zero"], ["zeros"]))
        scores = "method_scores" if method in ("method_id", "unnamed") else method
        nodes.append(helper.make_node("Add", ["zeros", "is_lsb"], [scores]))
        kind, size = TensorProto.FLOAT, len(METHODS)
        if method == "method_id":
            nodes.append(helper.make_node("ArgMax", [scores], [method], axis=1, keepdims=1))
            kind, size = TensorProto.INT64, 1
        name = scores if method == "unnamed" else method
        outputs.append(helper.make_tensor_value_info(name, kind, [batch, size]))
    graph = helper.make_graph(nodes, "test", declared, outputs, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    onnx.checker.check_model(model)
    onnx.save_model(model, str(path))
    return path


def evaluated(model: Path, dataset: Path, capsys: pytest.CaptureFixture[str]) -> tuple[dict[str, object], str]:
    """Return provenance and decision of an evaluation by the command of the README, and what it prints as errors."""
    output = model.with_suffix(".json")
    words = ("evaluate", "--model", model, "--dataset", dataset, "--latency-sample", 2, "--output", output)
    assert starlight.main([*map(str, words)]) == 0
    content = json.loads(output.read_text())
    evaluation = content.get("evaluation", content)
    assert evaluation["images"] == 92
    assert evaluation["not_measured"]["model_error"] == 0
    return evaluation, capsys.readouterr().err


@pytest.mark.parametrize("name", INPUTS)
def test_model_of_one_input_without_methods(
    name: str, tmp_path: Path, dataset_root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    evaluation, errors = evaluated(write_model(tmp_path / "m.onnx", [name]), dataset_root, capsys)
    assert evaluation["provenance"]["decision"] == PLAIN.describe()  # type: ignore[index]
    assert evaluation["replaced_decision"] == PRODUCTION.describe()
    assert "predicts no method: decided by probability > 0.5, not by probability > alpha 0.7" in errors


@pytest.mark.parametrize("method", METHOD_OUTPUTS)
def test_model_with_an_output_of_methods(
    method: str, tmp_path: Path, dataset_root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = write_model(tmp_path / "m.onnx", ["pixel_tensor", "meta"], method=method)
    evaluation, errors = evaluated(model, dataset_root, capsys)
    assert evaluation["provenance"]["decision"] == PRODUCTION.describe()  # type: ignore[index]
    assert evaluation["replaced_decision"] is None
    assert "predicts no method" not in errors


@pytest.mark.parametrize(("batch", "logit"), [(1, "stego_logits"), ("batch", "score")], ids=["fixed batch", "unnamed"])
def test_model_with_a_fixed_batch_or_an_unnamed_logit(
    batch: object, logit: str, tmp_path: Path, dataset_root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = write_model(tmp_path / "m.onnx", ["lsb", "bit_order"], batch=batch, logit=logit)
    evaluation, _ = evaluated(model, dataset_root, capsys)
    assert evaluation["replaced_decision"] == PRODUCTION.describe()


def test_comparison_of_models_with_and_without_methods_names_both_rules(
    tmp_path: Path, dataset_root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    plain = write_model(tmp_path / "plain.onnx", ["pixel_tensor"])
    full = write_model(tmp_path / "full.onnx", ["pixel_tensor"], method="method_logits")
    words = ["compare", "--baseline", plain, "--candidate", full, "--dataset", dataset_root, "--latency-sample", 0]
    words += ["--output", tmp_path / "document.md", "--results", tmp_path / "results"]
    assert starlight.main([*map(str, words)]) == 2
    assert capsys.readouterr().err.splitlines()[-1] == (
        f"starlight compare: the decision rules differ ({PLAIN.describe()}; {PRODUCTION.describe()}); pass"
        " --allow-different-rules to compare anyway"
    )
    assert not (tmp_path / "document.md").exists()
