"""Manifests of training files, and images of a dataset that a model was trained on."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from starlight_exporter.dataset.layout import scan
from starlight_exporter.errors import StorageError
from starlight_exporter.evaluation.request import RunRequest
from starlight_exporter.evaluation.results import Evaluation
from starlight_exporter.evaluation.run import evaluate
from starlight_exporter.models.training_files import MANIFEST_NAME, leaked_images, manifest_text, read_manifest
from support.images import image_bytes, write_dataset
from support.models import write_constant_model
from support.scripts import run_script
from support.training_files import prefixes


@pytest.fixture
def images(tmp_path: Path) -> Path:
    return write_dataset(tmp_path / "images")


def evaluated(make: Callable[..., RunRequest], folder: Path, root: Path) -> Evaluation:
    model = folder / "model.onnx"
    if not model.exists():
        write_constant_model(model, logit=4.0)
    return evaluate(make(model_path=model, dataset_root=root)).evaluation


@pytest.mark.slow
def test_counts_images_seen_in_training(tmp_path: Path, request_for: Callable[..., RunRequest], images: Path) -> None:
    assert evaluated(request_for, tmp_path, images).leaked_images is None
    training = tmp_path / "training"
    (training / "clean").mkdir(parents=True)
    for i, file in enumerate(sorted((images / "clean").iterdir())[:7]):
        (training / "clean" / f"copy{i}{file.suffix}").write_bytes(file.read_bytes())
    (training / "clean" / "other.png").write_bytes(image_bytes(99))
    done = run_script("hash_dataset.py", training, "--model", tmp_path / "model.onnx")
    assert done.returncode == 0, done.stderr
    assert "8 distinct files" in done.stdout
    assert evaluated(request_for, tmp_path, images).leaked_images == 7
    (tmp_path / MANIFEST_NAME).write_text("not a hash\n")
    broken = evaluate(request_for(model_path=tmp_path / "model.onnx", dataset_root=images))
    assert broken.evaluation.leaked_images is None
    assert any("training_files.sha256:1: expected 16 hexadecimal digits" in warning for warning in broken.warnings)


def test_manifest_is_read_as_written(tmp_path: Path, images: Path) -> None:
    files = scan("images", images).files
    path = tmp_path / MANIFEST_NAME
    path.write_text(manifest_text(files))
    assert leaked_images(prefixes(files), read_manifest(path)) == len(files)
    assert leaked_images(prefixes(files[:5]), read_manifest(path)) == 5
    path.write_text(manifest_text([]))
    assert leaked_images(prefixes(files), read_manifest(path)) == 0
    with pytest.raises(StorageError, match="missing: cannot be read"):
        read_manifest(tmp_path / "missing")


def test_missing_folder_is_a_one_line_error(tmp_path: Path) -> None:
    done = run_script("hash_dataset.py", tmp_path / "missing", "--model", tmp_path / "model.onnx")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
