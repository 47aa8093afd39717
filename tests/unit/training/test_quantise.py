"""Quantisation of the shipped models, including one with older inputs."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from starlight_exporter.detector.decoding import decode
from starlight_exporter.detector.model import Detector
from starlight_exporter.detector.streams import tensors
from starlight_exporter.errors import ModelError
from support.images import write_dataset
from support.models import write_constant_model
from training.quantise import quantise
from training.quantise_model import keep_manifest

MODELS = Path(__file__).resolve().parents[3] / "models"


@pytest.fixture(autouse=True)
def _log_level() -> Iterator[None]:
    """Restore the log level, which `quantise` changes for the whole process."""
    level = logging.getLogger().level
    yield
    logging.getLogger().setLevel(level)


# v3 has a constant input without a stream, and reads one of two alpha planes.
@pytest.mark.parametrize("name", ["v3", "v4"])
def test_quantises_models_with_current_and_older_inputs(name: str, tmp_path: Path) -> None:
    images = write_dataset(tmp_path / "images", clean=5, stego=5, negatives=0)
    source, target = MODELS / name / "model.onnx", tmp_path / "quantised" / "model.onnx"
    assert quantise(source, target, images, images=6) == 6
    original, quantised = Detector.load(source), Detector.load(target)
    assert quantised.inputs == original.inputs
    streams = [tensors(decode(path.read_bytes())) for path in sorted((images / "clean").iterdir())]
    np.testing.assert_allclose(
        [score.probability for score in quantised.predict(streams)],
        [score.probability for score in original.predict(streams)],
        atol=0.2,
    )
    assert not list(target.parent.glob("*.partial"))


def test_rejects_model_without_learned_layers(tmp_path: Path) -> None:
    model = write_constant_model(tmp_path / "model.onnx", logit=1.0)
    with pytest.raises(ModelError, match="has no learned layer to quantise"):
        quantise(model, tmp_path / "quantised.onnx", tmp_path, images=1)


def test_reports_missing_model(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"none\.onnx: no such model file"):
        quantise(tmp_path / "none.onnx", tmp_path / "quantised.onnx", tmp_path, images=1)


def test_quantised_model_shares_manifest_or_gets_a_copy(tmp_path: Path) -> None:
    source, out, elsewhere = tmp_path / "models" / "v4", tmp_path / "models" / "v4_int8", tmp_path / "other" / "v4_int8"
    for folder in (source, out, elsewhere):
        folder.mkdir(parents=True)
    shared = tmp_path / "models" / "training_files.sha256"
    shared.write_text("0123456789abcdef\n")
    card = {"name": "v4", "training_files": "../training_files.sha256"}
    assert keep_manifest(card, source, out) == card
    assert not list(out.iterdir())
    assert keep_manifest(card, source, elsewhere) == {"name": "v4"}
    assert (elsewhere / "training_files.sha256").read_text() == shared.read_text()
    (source / "training_files.sha256").write_text("fedcba9876543210\n")
    assert keep_manifest({"name": "v4"}, source, out) == {"name": "v4"}
    assert (out / "training_files.sha256").read_text() == "fedcba9876543210\n"
