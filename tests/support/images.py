"""Small datasets of noise images in the layout that the scanner expects. Nothing is embedded."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image

from starlight_exporter.dataset.labelled_files import find_labelled_files
from starlight_exporter.detector.compact import CompactImage, compact
from starlight_exporter.detector.contract import METHODS
from starlight_exporter.detector.decoding import decode

_SAVED_AS = {"png": "PNG", "jpeg": "JPEG", "gif": "GIF", "webp": "WEBP", "bmp": "BMP"}
_METHOD_FORMAT = {"alpha": "png", "palette": "gif", "lsb": "bmp", "exif": "jpeg", "eoi": "webp"}


def image_bytes(seed: int, image_format: str = "png", *, size: tuple[int, int] = (48, 40), mode: str = "RGB") -> bytes:
    """Return an encoded image of noise over a gradient, different for every seed."""
    rng = np.random.default_rng(seed)
    width, height = size
    channels = len(mode) if mode in {"RGB", "RGBA", "LA", "L"} else 3
    gradient = np.linspace(0, 200, width)[None, :, None] * rng.random(channels)
    noise = rng.integers(0, 55, (height, width, channels))
    pixels = (gradient + noise).astype(np.uint8)
    image = Image.fromarray(pixels[..., 0] if channels == 1 else pixels)
    if mode == "P":
        image = image.quantize(16)
    buffer = io.BytesIO()
    if image_format == "webp":
        image.save(buffer, "WEBP", lossless=True)
    else:
        image.save(buffer, _SAVED_AS[image_format])
    return buffer.getvalue()


def compact_images(root: Path) -> list[CompactImage]:
    """Return the decoded images of a dataset, in the order of its listing."""
    return [compact(decode((root / file.path).read_bytes())) for file in find_labelled_files(root).found]


def write_dataset(root: Path, *, clean: int = 10, stego: int = 10, negatives: int = 4, seed: int = 0) -> Path:
    """Write clean images in five formats, stego images of five methods, and negatives of two categories."""
    formats = tuple(_SAVED_AS)
    for index in range(clean):
        name = formats[index % len(formats)]
        mode = "RGBA" if name == "png" and index % 2 else "RGB"
        _write(root / "clean" / f"clean-{index:04}.{name}", image_bytes(seed * 100_000 + index, name, mode=mode))
    for index in range(stego):
        method = METHODS[index % len(METHODS)]
        name = _METHOD_FORMAT[method]
        mode = "RGBA" if method == "alpha" else "RGB"
        data = image_bytes(seed * 100_000 + 10_000 + index, name, mode=mode)
        _write(root / "stego" / method / f"hidden_{method}_{index:04}.{name}", data)
    for index in range(negatives):
        category = ("rgb_no_alpha", "patterns")[index % 2]
        _write(root / "negatives" / category / f"{index:04}.png", image_bytes(seed * 100_000 + 20_000 + index))
    return root


def _write(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
