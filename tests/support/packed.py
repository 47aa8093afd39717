"""A small labelled dataset in class folders, with sidecars, and its listing as plain values."""

from __future__ import annotations

import json
from pathlib import Path

from starlight_exporter.dataset.sources.opening import open_source
from starlight_exporter.dataset.sources.root import DatasetRoot
from starlight_exporter.errors import ImageError
from support.images import image_bytes

MAX_BYTES = 64 * 1024 * 1024


def write_dataset(root: Path, *, images: int = 12) -> Path:
    """Write `images` clean files, as many stego files with a sidecar and a cover, and some hard negatives."""
    for number in range(images):
        files = {
            f"clean/camera/cover-{number:03d}.png": image_bytes(number, size=(16, 16)),
            f"stego/lsb/text_lsb_{number:03d}.png": image_bytes(1000 + number, size=(16, 16)),
            f"negatives/gradient/{number:03d}.png": image_bytes(2000 + number, size=(16, 16)),
        }
        for path, data in files.items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_bytes(data)
        sidecar = {
            "embedding": {"technique": "lsb.rgb", "bit_order": "msb-first"},
            "clean_file": f"camera/cover-{number:03d}.png",
            "payload_bytes": 8 + number,
            "reaches_crop": True,
        }
        (root / f"stego/lsb/text_lsb_{number:03d}.png.json").write_text(json.dumps(sidecar))
    return root


def contents(root: DatasetRoot) -> dict[str, tuple[object, ...]]:
    """Return class, method, category, cover, payload and content (or the reason why there is none) of every file."""
    with open_source(root) as source:
        labelled = source.labelled_files()
        result: dict[str, tuple[object, ...]] = {}
        for found, data in source.read_shard(
            [one for one in labelled.found if one.problem is None], max_bytes=MAX_BYTES
        ):
            labels = labelled.labels_of(found)
            content = str(data) if isinstance(data, ImageError) else data
            result[found.path] = (
                *(found.file_class, labels.method, labels.category, labels.bit_order, labels.payload_bytes),
                *(None if labels.cover is None else labels.cover.removeprefix("clean/"), labels.source, content),
            )
        return result
