"""The reference models that the repository ships: what they declare, and that card, log and file belong together."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from exporter.detector.contract import METHODS, STREAM_SHAPES, STREAMS, Stream
from exporter.detector.decision import PRODUCTION
from exporter.detector.model import Detector
from exporter.evaluation.training import read_training_log
from training import card as cards
from training.variants import LARGEST_MODEL_BYTES, OUTPUTS, VARIANTS, VariantName

MODELS = Path(__file__).resolve().parents[3] / "models"
SHIPPED: tuple[VariantName, ...] = ("v3", "v4")

pytestmark = pytest.mark.parametrize("name", SHIPPED)


def images(count: int, *, seed: int) -> list[dict[Stream, NDArray[np.float32]]]:
    """Random streams of the right kinds: bits are bits, bytes are n/255."""
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(count):
        image: dict[Stream, NDArray[np.float32]] = {}
        for stream in STREAMS:
            image[stream] = (rng.integers(0, 256, STREAM_SHAPES[stream]) / 255).astype(np.float32)
        image["lsb"] = rng.integers(0, 2, STREAM_SHAPES["lsb"]).astype(np.float32)
        image["palette_lsb"] = rng.integers(0, 2, STREAM_SHAPES["palette_lsb"]).astype(np.float32)
        image["alpha"][1] = np.rint(image["alpha"][0] * 255) % 2
        made.append(image)
    return made


def test_is_one_small_file_with_its_weights_inside(name: VariantName) -> None:
    path = MODELS / name / "model.onnx"
    assert path.stat().st_size <= LARGEST_MODEL_BYTES
    model = onnx.load(str(path), load_external_data=False)
    assert model.graph.initializer
    assert not [
        t.name for t in model.graph.initializer if t.data_location == onnx.TensorProto.EXTERNAL or t.external_data
    ]
    assert sorted(p.name for p in path.parent.iterdir()) == [
        "README.md",
        "card.yml",
        "model.onnx",
        "training_log.jsonl",
    ]


def test_declares_its_variant_with_a_dynamic_batch(name: VariantName) -> None:
    graph = onnx.load(str(MODELS / name / "model.onnx")).graph
    variant = VARIANTS[name]
    assert tuple(value.name for value in graph.input) == variant.inputs
    assert tuple(value.name for value in graph.output) == OUTPUTS
    for value in graph.input:
        batch, *shape = value.type.tensor_type.shape.dim
        assert batch.dim_param == "batch"
        assert tuple(size.dim_value for size in shape) == variant.input_shape(value.name)
    shapes = {v.name: [d.dim_param or d.dim_value for d in v.type.tensor_type.shape.dim] for v in graph.output}
    assert shapes == {
        "stego_logits": ["batch", 1],
        "method_logits": ["batch", len(METHODS)],
        "method_probs": ["batch", len(METHODS)],
        "embedding": ["batch", 64],
    }


def test_holds_no_trace_of_the_machine_it_was_made_on(name: VariantName) -> None:
    content = (MODELS / name / "model.onnx").read_bytes()
    for trace in (b"/home/", b"/root/", b"/tmp/", b"/usr/", b".py", b"site-packages"):
        assert trace not in content


def test_loads_in_the_detector_and_reads_its_streams_alone(name: VariantName) -> None:
    detector = Detector.load(MODELS / name / "model.onnx")
    assert detector.streams == frozenset(VARIANTS[name].streams)
    assert detector.has_method


def test_loads_and_runs_without_a_warning(name: VariantName, capfd: pytest.CaptureFixture[str]) -> None:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 2
    session = onnxruntime.InferenceSession(
        str(MODELS / name / "model.onnx"), options, providers=["CPUExecutionProvider"]
    )
    variant = VARIANTS[name]
    session.run(None, {key: np.zeros((3, *variant.input_shape(key)), np.float32) for key in variant.inputs})
    assert capfd.readouterr().err == ""


def test_an_image_is_judged_alike_alone_and_among_others(name: VariantName) -> None:
    detector = Detector.load(MODELS / name / "model.onnx")
    batch = images(5, seed=3)
    together = detector.predict(batch)
    for image, expected in zip(batch, together, strict=True):
        (alone,) = detector.predict([image])
        assert alone.probability == pytest.approx(expected.probability, abs=1e-5)
        assert alone.method_probabilities == pytest.approx(expected.method_probabilities, abs=1e-5)


def test_the_card_describes_this_file(name: VariantName) -> None:
    card = cards.read_card(MODELS / name)
    detector = Detector.load(MODELS / name / "model.onnx")
    assert card["name"] == name
    assert card["sha256"] == detector.sha256
    assert card["size_bytes"] == detector.size_bytes
    assert tuple(card["inputs"]) == detector.inputs
    assert tuple(card["outputs"]) == detector.outputs
    assert set(card["streams"]) == detector.streams
    assert card["decision"] == PRODUCTION.describe()


def test_the_page_is_made_from_the_card(name: VariantName) -> None:
    page = (MODELS / name / cards.NOTES).read_text(encoding="utf-8")
    assert page == cards.notes(cards.read_card(MODELS / name))


def test_the_training_log_is_the_one_of_the_card(name: VariantName) -> None:
    card = cards.read_card(MODELS / name)
    health = read_training_log(MODELS / name / card["training"]["log"])
    assert len(health.epochs) == card["training"]["epochs"]
    assert not health.diverged
    assert health.epochs[-1].validation_loss == card["training"]["last_epoch"]["validation_loss"]
    assert health.epochs[-1].train_loss == card["training"]["last_epoch"]["train_loss"]


def test_training_and_measured_data_are_not_the_same(name: VariantName) -> None:
    card = cards.read_card(MODELS / name)
    learned = {card["training"]["dataset_fingerprint"], card["training"]["validation_dataset_fingerprint"]}
    assert card["measured"]
    for record in card["measured"]:
        assert record["fingerprint"] not in learned
    seeds = {card["training"]["dataset"]["seed"], card["training"]["validation_dataset"]["seed"]}
    for record in card["measured"]:
        if record["made_with"] and not record["made_with"]["covers"]:
            assert record["made_with"]["seed"] not in seeds


def test_reaches_what_is_asked_of_it_on_data_it_never_saw(name: VariantName) -> None:
    record = cards.read_card(MODELS / name)["measured"][0]
    assert record["false_positives"]["total"] >= 5000
    assert record["not_measured"] == 0
    if name == "v4":
        assert record["false_positives"]["count"] == 0
        for method in METHODS:
            assert record["detections"][method]["ratio"] > 0.97
        negatives = record["false_positives_among_negatives"].values()
        assert sum(p["count"] for p in negatives) / sum(p["total"] for p in negatives) < 0.005


def test_production_is_v4_to_the_byte(name: VariantName) -> None:
    if name != "v4":
        pytest.skip("production is a copy of v4 alone")
    for file in ("model.onnx", "training_log.jsonl"):
        assert (MODELS / "production" / file).read_bytes() == (MODELS / name / file).read_bytes()
    assert "mv " in (MODELS / "production" / "README.md").read_text(encoding="utf-8")
