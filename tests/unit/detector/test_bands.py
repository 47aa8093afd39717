"""Convolutions by bands of rows: equal to those of the whole plane, and computed for what is new alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from onnx import TensorProto, helper

from starlight_exporter.detector import bands as bands_module
from starlight_exporter.detector.bands import BandedStage, banded, split
from starlight_exporter.detector.compact import PLANES, CompactImage, compact
from starlight_exporter.detector.contract import STREAM_SHAPES, STREAMS
from starlight_exporter.detector.cut import Stage
from starlight_exporter.detector.decision import PLAIN
from starlight_exporter.detector.model import Detector, open_session
from starlight_exporter.detector.staged import StagedModel, WholeModel, stage
from starlight_exporter.detector.streams import decode
from starlight_exporter.evaluation.scoring import drawn_images
from starlight_exporter.synthesis.embeddings import embed_bits
from support.graphs import INPUT_NAMES, GraphBuilder, save
from support.images import picture_of

CHANNELS = 3


def encoder(graph: GraphBuilder, name: str) -> Stage:
    """A stage that makes something small of the tensor: the rest of it depends on all rows."""
    graph.nodes.append(helper.make_node("ReduceMean", [name], ["small"], axes=[1, 3], keepdims=0))
    plane = helper.make_tensor_value_info("pixel_tensor", TensorProto.FLOAT, [1, CHANNELS, 256, 256])
    small = helper.make_tensor_value_info("small", TensorProto.FLOAT, None)
    nodes = helper.make_graph(graph.nodes, "stage", [plane], [small], graph.weights)
    model = helper.make_model(nodes, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    return Stage(model.SerializeToString(), frozenset(("pixel_tensor",)), ("pixel_tensor",), (), ("small",))


@st.composite
def chains(draw: st.DrawFn) -> Stage:
    """Windows of every kind, and what goes by element, down to a few rows of two channels."""
    graph = GraphBuilder(draw(st.integers(0, 2**31)))
    name, channels, size = "pixel_tensor", CHANNELS, 256
    while size > 24:
        kind = draw(st.sampled_from(("Conv", "Conv", "MaxPool", "AveragePool", "Relu", "Add", "PRelu")))
        if kind in ("Conv", "MaxPool", "AveragePool"):
            kernel, stride = draw(st.integers(2, 5)), draw(st.integers(2, 3))
            above, below = (draw(st.integers(0, kernel // 2)) for _ in range(2))
            window: dict[str, Any] = {"strides": [stride, stride], "pads": [above, 0, below, 0]}
            extent = kernel
            if kind == "Conv":
                dilation = draw(st.integers(1, 2))
                extent = (kernel - 1) * dilation + 1
                weights = graph.drawn(2, channels, kernel, kernel)
                name = graph.node(kind, [name, weights], dilations=[dilation, dilation], **window)
                channels = 2
            else:
                name = graph.node(kind, [name], kernel_shape=[kernel, kernel], **window)
            size = (size + above + below - extent) // stride + 1
        elif kind == "Relu":
            name = graph.node(kind, [name])
        else:
            name = graph.node(kind, [name, graph.drawn(channels, 1, 1)])
    event(f"{size} rows")
    return encoder(graph, name)


@settings(max_examples=80, deadline=None)
@given(chain=chains(), data=st.data())
def test_any_rows_come_out_as_those_of_the_whole_plane(chain: Stage, data: st.DataObject) -> None:
    trunk = split(chain)
    assert trunk is not None
    found = BandedStage(chain, trunk)
    event(f"equal to the bit: {banded(chain) is not None}")
    plane = np.random.default_rng(1).random((1, CHANNELS, 256, 256), np.float32)
    outputs, whole = found.whole(plane)
    first = data.draw(st.integers(0, found.rows - 1))
    last = data.draw(st.integers(first, found.rows - 1))
    part = plane[:, :, slice(*found.span(first, last))]
    assert np.allclose(found.compute(part, first, last), whole[:, :, first : last + 1], rtol=1e-5, atol=1e-5)
    (expected,) = open_session(chain.model).run(["small"], {"pixel_tensor": plane})
    for given_outputs in (outputs, found.finish(whole)):
        assert np.allclose(given_outputs[0], expected, rtol=1e-5, atol=1e-5)


@settings(max_examples=60, deadline=None)
@given(chain=chains(), row=st.integers(0, 127), seed=st.integers(0, 99))
def test_a_row_depends_on_nothing_but_the_strips_of_its_key(chain: Stage, row: int, seed: int) -> None:
    trunk = split(chain)
    assert trunk is not None
    found = BandedStage(chain, trunk)
    pixels = np.random.default_rng(seed).integers(0, 256, (256, 256, 3), dtype=np.uint8)
    changed = pixels.copy()
    changed[row] ^= 1
    one, other = (image_of(values) for values in (pixels, changed))
    rows = [found.whole(one_plane(image))[1] for image in (one, other)]
    equal_keys = [
        mine == theirs
        for mine, theirs in zip(found.keys(one.strips["pixel"]), found.keys(other.strips["pixel"]), strict=True)
    ]
    assert not all(equal_keys)
    for place, equal in enumerate(equal_keys):
        if equal:
            assert np.array_equal(rows[0][:, :, place], rows[1][:, :, place])


def one_plane(image: CompactImage) -> NDArray[np.float32]:
    return image.tensors()["pixel"][np.newaxis]


def image_of(pixels: NDArray[np.uint8]) -> CompactImage:
    return compact(decode(picture_of(pixels)))


def residual(graph: GraphBuilder) -> str:
    filters = graph.drawn(CHANNELS, CHANNELS, 3, 3)
    return graph.node("Add", ["pixel_tensor", graph.node("Conv", ["pixel_tensor", filters], pads=[1, 1, 1, 1])])


def ceiling(graph: GraphBuilder) -> str:
    return graph.node("MaxPool", ["pixel_tensor"], kernel_shape=[64, 64], strides=[60, 60], ceil_mode=1)


def by_row(graph: GraphBuilder) -> str:
    return graph.node("Mul", ["pixel_tensor", graph.drawn(256, 1)])


def large(graph: GraphBuilder) -> str:
    return graph.node("Conv", ["pixel_tensor", graph.drawn(8, CHANNELS, 3, 3)])


def one_row(graph: GraphBuilder) -> str:
    return graph.node("AveragePool", ["pixel_tensor"], kernel_shape=[256, 256])


@pytest.mark.parametrize("build", [residual, ceiling, by_row, large, one_row])
def test_what_has_no_small_local_beginning_is_left_whole(build: Callable[[GraphBuilder], str]) -> None:
    graph = GraphBuilder(0)
    assert banded(encoder(graph, build(graph))) is None


def test_a_reach_that_is_wrong_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    graph = GraphBuilder(0)
    filters = graph.drawn(2, CHANNELS, 9, 9)
    convolved = graph.node("Conv", ["pixel_tensor", filters], strides=[16, 16], pads=[4, 4, 4, 4])
    found = encoder(graph, convolved)
    right = split(found)
    assert right is not None
    assert banded(found) is not None
    short = replace(right, reach=replace(right.reach, extent=right.reach.extent - 4))
    monkeypatch.setattr(bands_module, "split", lambda _: short)
    assert banded(found) is None


@pytest.fixture(scope="module")
def detector(tmp_path_factory: pytest.TempPathFactory) -> Detector:
    """A model with an encoder of convolutions for each plane, as the published one has."""
    graph = GraphBuilder(3)
    features = []
    for stream in PLANES:
        name, channels = INPUT_NAMES[stream], STREAM_SHAPES[stream][0]
        for width in (4, 8):
            filters = graph.drawn(width, channels, 3, 3)
            name = graph.node("Relu", [graph.node("Conv", [name, filters], strides=[2, 2], pads=[1, 1, 1, 1])])
            channels = width
        pooled = graph.node("AveragePool", [name], kernel_shape=[16, 16], strides=[16, 16])
        features.append(graph.dense(graph.node("Flatten", [pooled], axis=1), 8 * 16, 8))
    joined = graph.node("Concat", features, axis=1)
    graph.nodes.append(helper.make_node("Gemm", [joined, graph.drawn(1, 8 * len(PLANES))], ["stego_logits"], transB=1))
    model = graph.model([stream for stream in STREAMS if stream in PLANES], [("stego_logits", 1)], inside=False)
    return Detector.load(save(model, tmp_path_factory.mktemp("model") / "model.onnx"))


def family(seed: int) -> tuple[CompactImage, CompactImage]:
    """A cover, and the same with a text in its first rows."""
    cover = np.random.default_rng(seed).integers(0, 256, (256, 256, 3), dtype=np.uint8)
    return image_of(cover), image_of(embed_bits(cover, b"hidden" * 100, "lsb-first"))


def test_of_a_picture_with_a_text_in_it_the_first_rows_alone_are_computed(detector: Detector) -> None:
    staged = stage(detector, drawn_images(), PLAIN)
    assert isinstance(staged, StagedModel)
    cover, stego = family(1)
    scores = staged.score([cover])
    # Four rows for the pixels, four for their lowest bits.
    assert staged.rows_computed == 8
    scores += staged.score([stego])
    assert staged.rows_computed == 10
    for ours, theirs in zip(scores, WholeModel(detector).score([cover, stego]), strict=True):
        assert getattr(ours, "probability", ours) == pytest.approx(getattr(theirs, "probability", theirs), abs=1e-5)


def test_a_stream_that_is_not_the_pictures_own_is_computed_whole(detector: Detector) -> None:
    staged = stage(detector, drawn_images(), PLAIN)
    assert isinstance(staged, StagedModel)
    cover, stego = family(2)
    mixed: Sequence[CompactImage] = [
        cover.with_stream_of("pixel", stego),
        cover.with_tensor("lsb", np.full((3, 256, 256), 0.5, np.float32)),
        cover.without("pixel"),
    ]
    staged.score([cover, stego])
    computed = staged.rows_computed
    ours = staged.score(mixed)
    assert staged.rows_computed == computed
    for mine, theirs in zip(ours, WholeModel(detector).score(mixed), strict=True):
        assert getattr(mine, "probability", mine) == pytest.approx(getattr(theirs, "probability", theirs), abs=1e-5)


def test_every_plane_goes_by_bands(detector: Detector) -> None:
    staged = stage(detector, drawn_images(), PLAIN)
    assert isinstance(staged, StagedModel)
    by_bands = {part.streams[0] for part in staged._stages if part.bands is not None}
    assert by_bands == set(PLANES)
