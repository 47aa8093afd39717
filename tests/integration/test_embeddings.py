"""A shipped model, and one without embeddings, in the exporter: metrics, page, and evidence after a restart."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import httpx
import pytest

from support.exporter import Exporter, write_config
from support.models import write_random_model
from support.run_cache import RunCache

pytestmark = [pytest.mark.integration, pytest.mark.slow]

SHIPPED = Path(__file__).resolve().parents[2] / "models" / "v3" / "model.onnx"
CLASSES = ("alpha", "palette", "lsb", "exif", "eoi", "clean")


def measured(exporter: Exporter, name: str, **labels: str) -> float:
    found = exporter.value(name, **labels)
    assert found is not None, f"{name} {labels}"
    return found


def test_embeddings_of_a_shipped_model(tmp_path: Path, run_cache: RunCache) -> None:
    images = run_cache.small_synthetic(seed=31, clean=150, stego=150, negatives=25)
    (tmp_path / "models").mkdir()
    shutil.copy(SHIPPED, tmp_path / "models" / "v3.onnx")
    write_random_model(tmp_path / "models" / "plain.onnx")
    config = write_config(
        tmp_path,
        models=[
            {"name": "v3", "file": "models/v3.onnx", "role": "production"},
            {"name": "plain", "file": "models/plain.onnx", "role": "baseline"},
        ],
        datasets=[{"name": "small", "path": str(images)}],
        latency={"sample": 0},
    )
    of_model = {"model": "v3", "dataset": "small"}
    with Exporter(config) as exporter:
        exporter.wait_for_value(300.0, "embedding_probe_images", **of_model)
        exporter.wait_for_value(1.0, "embedding_not_measured", model="plain", dataset="small", reason="no_output")
        accuracy = measured(exporter, "embedding_probe_accuracy_ratio", **of_model)
        assert accuracy == measured(exporter, "embedding_probe_correct", **of_model) / 300
        # The architecture separates all methods of the reference recipe, at least in part.
        assert accuracy > 0.85
        assert measured(exporter, "embedding_silhouette", **of_model) > 0.3
        for name in CLASSES:
            recall = {**of_model, "actual": name}
            assert measured(exporter, "embedding_class_recall_ratio_lower", **recall) > 0.5
            assert measured(exporter, "embedding_class_images", **recall) == (150 if name == "clean" else 30)
        address = f"{exporter.url}/evaluations/latest/embeddings?{httpx.QueryParams(of_model)}"
        page = httpx.get(address, headers={"Accept": "text/html"}, follow_redirects=True).raise_for_status().text
        points = re.findall(r'<a href="(/evaluations/[^"]+/images/\d+)" tabindex', page)
        assert len(set(points)) == 300
        assert httpx.get(f"{exporter.url}{points[0]}", headers={"Accept": "text/html"}).status_code == 200
        plain = httpx.get(address.replace("model=v3", "model=plain"), follow_redirects=True).raise_for_status().text
        assert "the model has no output embedding" in plain
    with Exporter(config) as exporter:
        exporter.wait_for_value(accuracy, "embedding_probe_accuracy_ratio", **of_model)
        address = f"{exporter.url}/evaluations/latest/embeddings?{httpx.QueryParams(of_model)}"
        again = httpx.get(address, headers={"Accept": "text/html"}, follow_redirects=True).raise_for_status().text
        assert re.findall(r'<a href="(/evaluations/[^"]+/images/\d+)" tabindex', again) == points
