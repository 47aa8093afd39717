"""Sidecars: the labels of stego files, as JSON next to them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from starlight_exporter.detector.contract import Method

CATEGORY_OF: dict[Method, str] = {
    "alpha": "pixel",
    "palette": "pixel",
    "lsb": "pixel",
    "exif": "metadata",
    "eoi": "eoi",
}
TECHNIQUE_OF: dict[Method, str] = {
    "alpha": "alpha",
    "palette": "palette",
    "lsb": "lsb.rgb",
    "exif": "exif",
    "eoi": "raw",
}


def embedding_labels(method: Method, order: str, *, ai42: bool) -> dict[str, Any]:
    """Return the part `embedding` of a sidecar."""
    return {
        "category": CATEGORY_OF[method],
        "technique": TECHNIQUE_OF[method],
        "ai42": ai42,
        "bit_order": order if CATEGORY_OF[method] == "pixel" else None,
    }


def write_labelled(path: Path, data: bytes, labels: dict[str, Any]) -> None:
    """Write a stego file and its sidecar."""
    path.write_bytes(data)
    path.with_name(f"{path.name}.json").write_text(json.dumps(labels, indent=1) + "\n", encoding="utf-8")
