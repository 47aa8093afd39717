"""The exporter on a dataset with a label manifest: changed manifests are evaluated, results by payload exposed."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from support.exporter import Exporter, write_config
from support.images import image_bytes

pytestmark = pytest.mark.integration

HEADER = "path,class,method,source,payload_bytes\n"


def rows(payload: int) -> str:
    stego = "".join(f"{number}.png,stego,lsb,camera,{payload}\n" for number in range(4))
    return HEADER + stego + "".join(f"{number}.png,clean,,camera,\n" for number in range(4, 8))


def test_changed_manifest_is_evaluated(tmp_path: Path) -> None:
    images = tmp_path / "images"
    images.mkdir()
    for number in range(8):
        (images / f"{number}.png").write_bytes(image_bytes(number))
    # Images of 48 × 40 pixels: 24 bytes are 0.1 bits per pixel.
    (images / "labels.csv").write_text(rows(24))
    of_model = {"model": "production", "dataset": "small"}
    with Exporter(write_config(tmp_path)) as exporter:
        exporter.wait_for_value(4.0, "payload_stego_images", **of_model, method="lsb", embedding_rate="0.1 to 0.2")
        assert exporter.value("payload_mean_rate", **of_model, method="lsb") == pytest.approx(0.1)
        assert exporter.value("payload_not_measured", **of_model, detection="0.5", reason="not reached") == 1
        camera = {**of_model, "property": "source", "value": "camera"}
        assert exporter.value("payload_slice_detection_ratio", **camera) == 0
        assert exporter.value("payload_slice_clean_images", **camera) == 4
        # Only a payload size changes, neither a label nor an image.
        (images / "labels.csv").write_text(rows(240))
        exporter.wait_for_value(4.0, "payload_stego_images", **of_model, method="lsb", embedding_rate="1 to 2")
        (images / "labels.csv").write_text(HEADER + "0.png,stego,lsb,,\n1.png,clean,,,\nmissing.png,clean,,,\n")
        exporter.wait_for_value(6.0, "images_not_measured", **of_model, reason="unlabelled")
        assert exporter.value("images_not_measured", **of_model, reason="unreadable") == 1
        page = httpx.get(
            f"{exporter.url}/evaluations/latest/images?model=production&dataset=small&shown=not_measured",
            follow_redirects=True,
        )
        assert "missing.png: is listed in labels.csv, but was not found" in page.text
        assert "5.png: is not listed in labels.csv" in page.text
        # A manifest that cannot be read fails the evaluation and keeps the result.
        (images / "labels.csv").write_text("path,class\n../0.png,clean\n")
        exporter.wait_for_value(1.0, "evaluations_total", model="production", dataset="small", outcome="error")
        assert exporter.value("images_not_measured", **of_model, reason="unlabelled") == 6
