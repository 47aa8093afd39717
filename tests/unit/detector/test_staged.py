"""Staged and full model have equal outputs for all graphs and images; other models run in full."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper

from starlight_exporter.detector import staged as staged_module
from starlight_exporter.detector.compact import CompactImage, compact
from starlight_exporter.detector.contract import STREAM_SHAPES, STREAMS
from starlight_exporter.detector.decision import PLAIN
from starlight_exporter.detector.decoding import decode
from starlight_exporter.detector.graph_cut import GraphCut, NoCut, cut_graph
from starlight_exporter.detector.model import Detector, Score
from starlight_exporter.detector.staged import FullModel, StagedModel, stage
from starlight_exporter.errors import ImageError
from starlight_exporter.evaluation.scorers import synthetic_images
from support.graphs import INPUT_NAMES, GraphBuilder, convolved, pooled, random_models, save
from support.images import image_bytes
from support.models import write_constant_model, write_nan_for_alpha_model, write_random_model

MODES = (("png", "RGB"), ("png", "RGBA"), ("gif", "P"), ("jpeg", "RGB"), ("bmp", "L"))


@lru_cache(maxsize=1)
def images() -> tuple[CompactImage, ...]:
    """Images of all formats, two of each cover, and two synthetic extremes."""
    found = []
    for seed, (image_format, mode) in enumerate(MODES * 3):
        data = image_bytes(seed % 10, image_format, mode=mode, size=(256, 200))
        found.append(compact(decode(data + b"hidden" * (200 * (seed // 10)))))
    return (*synthetic_images(), *found)


def equal_scores(ours: Score | ImageError, theirs: Score | ImageError) -> bool:
    if isinstance(ours, ImageError) or isinstance(theirs, ImageError):
        return isinstance(ours, ImageError) and isinstance(theirs, ImageError) and ours.reason == theirs.reason
    return ours.predicted == theirs.predicted and abs(ours.probability - theirs.probability) < 1e-5


def as_staged(model: onnx.ModelProto, path: Path) -> tuple[Detector, StagedModel | NoCut]:
    detector = Detector.load(save(model, path))
    return detector, stage(detector, images()[:4], PLAIN)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(model=random_models(), order=st.permutations(range(17)))
@pytest.mark.slow
def test_staged_and_full_model_agree_on_random_graphs_and_images(
    model: onnx.ModelProto, order: list[int], tmp_path_factory: pytest.TempPathFactory
) -> None:
    detector, staged = as_staged(model, tmp_path_factory.mktemp("graph") / "model.onnx")
    if isinstance(staged, NoCut):
        event(f"full: {staged.reason[:50]}")
        # Random graphs contain only supported operations, so no comparison may fail.
        assert "differs" not in staged.reason
        assert "fails" not in staged.reason
        return
    event("staged")
    chosen = [images()[index] for index in order]
    ours = staged.score(chosen)
    for mine, other in zip(ours, FullModel(detector).score(chosen), strict=True):
        assert equal_scores(mine, other)
    # Again with stored outputs, in reverse order, one image per call and with two threads.
    with ThreadPoolExecutor(2) as pool:
        again = list(pool.map(lambda image: staged.score([image])[0], reversed(chosen)))
    assert again[::-1] == ours


def two_encoders(streams: tuple[str, ...] = ("pixel", "lsb", "meta")) -> tuple[GraphBuilder, list[str]]:
    graph = GraphBuilder(1)
    return graph, [convolved(graph, stream) for stream in STREAMS if stream in streams]


def finished(graph: GraphBuilder, features: list[str], streams: tuple[str, ...]) -> onnx.ModelProto:
    joined = graph.node("Concat", features, axis=1)
    weights = graph.random_weights(1, 8 * len(features))
    graph.nodes.append(helper.make_node("Gemm", [joined, weights], ["stego_logits"], transB=1))
    chosen = [stream for stream in STREAMS if stream in streams]
    return graph.model(chosen, [("stego_logits", 1)], dynamic_shapes=False)


def test_stages_run_once_for_equal_streams(tmp_path: Path) -> None:
    _, staged = as_staged(finished(*two_encoders(), ("pixel", "lsb", "meta")), tmp_path / "model.onnx")
    assert isinstance(staged, StagedModel)
    plain = image_bytes(1, "bmp", size=(256, 256))
    same_image = [compact(decode(plain + bytes([1 + extra]) * 2000)) for extra in range(20)]
    staged.score(same_image)
    assert (staged.stages_run, staged.stages_reused) == (3, 57)
    no_metadata = [compact(decode(image_bytes(seed, "bmp"))) for seed in range(10)]
    staged.score(no_metadata)
    assert staged.stages_run == 3 + 20


def test_stored_outputs_are_bounded_in_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(staged_module, "SHARED_BYTES", 5_000)
    model = save(finished(*two_encoders(), ("pixel", "lsb", "meta")), tmp_path / "model.onnx")
    detector = Detector.load(model)
    parts = cut_graph(model.read_bytes(), {entry.name: entry.shape for entry in detector.inputs}, detector.used_outputs)
    assert isinstance(parts, GraphCut)
    small = StagedModel(detector, parts, PLAIN, batch=4, shared_bytes=5_000)
    large = StagedModel(detector, parts, PLAIN, batch=4)
    chosen = [compact(decode(image_bytes(seed))) for seed in range(40)]
    assert small.score(chosen) == large.score(chosen) == small.score(chosen)
    assert small._shared.size_bytes <= 5_000
    assert large.stages_run < small.stages_run


def one_input(graph: GraphBuilder) -> tuple[list[str], tuple[str, ...]]:
    return [pooled(graph, "pixel"), convolved(graph, "pixel")], ("pixel",)


def combined_early(graph: GraphBuilder) -> tuple[list[str], tuple[str, ...]]:
    both = graph.node("Add", ["pixel_tensor", "lsb"])
    means = graph.node("Flatten", [graph.node("GlobalAveragePool", [both])], axis=1)
    return [graph.dense(means, 3, 8)], ("pixel", "lsb")


@pytest.mark.parametrize(
    ("build", "reason"),
    [
        (one_input, "the model depends on only one input"),
        (combined_early, "no part of the model depends on fewer inputs"),
    ],
)
def test_graph_without_stages_is_not_cut(
    build: Callable[[GraphBuilder], tuple[list[str], tuple[str, ...]]], reason: str, tmp_path: Path
) -> None:
    graph = GraphBuilder(3)
    features, streams = build(graph)
    if len(features) == 1:
        features = features * 2
    _, staged = as_staged(finished(graph, features, streams), tmp_path / "model.onnx")
    assert isinstance(staged, NoCut)
    assert staged.reason.startswith(reason)


def test_inputs_that_are_combined_early_form_one_stage(tmp_path: Path) -> None:
    graph = GraphBuilder(4)
    features, _ = combined_early(graph)
    features.append(convolved(graph, "alpha"))
    detector, staged = as_staged(finished(graph, features, ("pixel", "lsb", "alpha")), tmp_path / "model.onnx")
    assert isinstance(staged, StagedModel)
    assert {part.streams for part in staged._stages} == {("lsb", "pixel"), ("alpha",)}
    for mine, other in zip(staged.score(images()), FullModel(detector).score(images()), strict=True):
        assert equal_scores(mine, other)


def test_rejects_a_staged_model_with_different_outputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = save(finished(*two_encoders(), ("pixel", "lsb", "meta")), tmp_path / "model.onnx")
    changed = onnx.load(str(model))
    for weights in changed.graph.initializer:
        if weights.data_type == TensorProto.FLOAT and list(weights.dims) == [1, 24]:
            weights.raw_data = (np.frombuffer(weights.raw_data, np.float32) * 1.01).tobytes()
    # Simulates a wrong cut: the head has other weights than the model.
    monkeypatch.setattr(
        staged_module,
        "cut_graph",
        lambda _, shapes, outputs, _known: cut_graph(changed.SerializeToString(), shapes, outputs),
    )
    staged = stage(Detector.load(model), images(), PLAIN)
    assert isinstance(staged, NoCut)
    assert "output stego_logits differs" in staged.reason


def test_model_file_that_changed_after_loading_is_not_cut(tmp_path: Path) -> None:
    path = save(finished(*two_encoders(), ("pixel", "lsb", "meta")), tmp_path / "model.onnx")
    detector = Detector.load(path)
    path.write_bytes(b"another")
    staged = stage(detector, images()[:2], PLAIN)
    assert isinstance(staged, NoCut)
    assert "changed after it was loaded" in staged.reason


@pytest.mark.parametrize("write", [write_random_model, write_nan_for_alpha_model])
def test_staged_and_full_model_agree_on_the_models_of_other_tests(
    write: Callable[[Path], Path], tmp_path: Path
) -> None:
    detector = Detector.load(write(tmp_path / "model.onnx"))
    staged = stage(detector, images()[:4], PLAIN)
    if isinstance(staged, StagedModel):
        for mine, other in zip(staged.score(images()), FullModel(detector).score(images()), strict=True):
            assert equal_scores(mine, other)


def test_model_that_returns_nan_is_not_measured(tmp_path: Path) -> None:
    detector = Detector.load(write_constant_model(tmp_path / "model.onnx", logit=float("nan")))
    staged = stage(detector, images()[:4], PLAIN)
    assert isinstance(staged, NoCut)
    assert all(isinstance(score, ImageError) for score in FullModel(detector).score(images()))


@pytest.mark.parametrize("name", ["v3", "v4"])
def test_reference_models_have_equal_outputs_in_stages(name: str) -> None:
    path = Path(__file__).resolve().parents[3] / "models" / name / "model.onnx"
    if not path.exists():
        pytest.skip(f"models/{name} does not exist")
    detector = Detector.load(path)
    staged = stage(detector, images(), PLAIN)
    if isinstance(staged, NoCut):
        # Not every graph can be cut; then the full model runs.
        assert "differs" not in staged.reason
        return
    for outputs, image in zip(staged.outputs(images()), images(), strict=True):
        assert not isinstance(outputs, ImageError)
        full = detector.raw_outputs((image.tensors(detector.streams),))
        for ours, theirs in zip(outputs, full, strict=True):
            np.testing.assert_allclose(ours, theirs[0], rtol=1e-5, atol=1e-5)


def test_every_stream_has_an_input_name() -> None:
    assert INPUT_NAMES.keys() == STREAM_SHAPES.keys()
