"""Datasets for benchmarks: 256×256 images in all five formats, fast to generate.

`distinct`: all images differ. `shared`: each cover has five stego files, as in a training set, so most of their streams
are equal. `tailed`: copies of 1,000 images with different tails, for benchmarks where only the number of files matters.
"""

from __future__ import annotations

import io
import json
import os
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from starlight_exporter.synthesis.embeddings import embed_alpha, embed_bits, embed_eoi

Kind = Literal["distinct", "shared", "tailed"]
SIZE: Final = 256
_EXIF: Final = 0x9286
# Formats of twenty consecutive images.
_FORMATS: Final = ("jpeg",) * 7 + ("png",) * 5 + ("rgba",) * 2 + ("gif",) * 3 + ("webp",) + ("bmp",) * 2
_GROUP: Final = 6
_BATCH: Final = 100
_SOURCES: Final = 1000
_encoded_sources: dict[int, bytes] = {}


def make(kind: Kind, images: int, folder: Path, *, seed: int = 0) -> Path:
    """Return a dataset of this kind and size below `folder`; generate it if it does not exist."""
    root = folder / f"{kind}-{images}"
    done = root / "made.json"
    if not done.exists():
        starts = range(0, images, _BATCH * _GROUP)
        with ProcessPoolExecutor(os.cpu_count()) as pool:
            sizes = [min(_BATCH * _GROUP, images - start) for start in starts]
            list(pool.map(_write, [kind] * len(sizes), [root] * len(sizes), starts, sizes, [seed] * len(sizes)))
        done.write_text(json.dumps({"kind": kind, "images": images, "seed": seed}))
    return root


def _write(kind: Kind, root: Path, start: int, count: int, seed: int) -> None:
    for folder in ("clean", *(f"stego/{method}" for method in ("alpha", "palette", "lsb", "exif", "eoi"))):
        (root / folder).mkdir(parents=True, exist_ok=True)
    for index in range(start, start + count):
        if kind == "distinct":
            _distinct(root, index, np.random.default_rng((seed, index)))
        elif kind == "tailed":
            _tailed(root, index, seed)
        elif index % _GROUP == 0:
            _cover_and_stego(root, index, np.random.default_rng((seed, index)), min(_GROUP, start + count - index))


def _pixels(rng: np.random.Generator) -> NDArray[np.uint8]:
    """Return smooth colours with a little noise, which compress and decode like a photograph."""
    coarse = Image.fromarray(rng.integers(0, 256, (9, 9, 3), dtype=np.uint8))
    soft = np.asarray(coarse.resize((SIZE, SIZE), Image.Resampling.BICUBIC), np.int16)
    noise = rng.integers(-6, 7, (SIZE, SIZE, 3), dtype=np.int16)
    pixels: NDArray[np.uint8] = np.clip(soft + noise, 0, 255).astype(np.uint8)
    return pixels


def _encoded(pixels: NDArray[np.uint8], image_format: str, *, exif: bytes = b"") -> bytes:
    buffer = io.BytesIO()
    image = Image.fromarray(pixels)
    match image_format:
        case "gif":
            image.quantize(128, method=Image.Quantize.FASTOCTREE).save(buffer, "GIF")
        case "webp":
            image.save(buffer, "WEBP", quality=80, method=0, exif=exif)
        case "jpeg":
            image.save(buffer, "JPEG", quality=88, exif=exif)
        case "bmp":
            image.save(buffer, "BMP")
        case _:
            image.save(buffer, "PNG", compress_level=3, exif=exif)
    return buffer.getvalue()


def _suffix(image_format: str) -> str:
    return {"rgba": "png", "jpeg": "jpg"}.get(image_format, image_format)


def _text(rng: np.random.Generator) -> bytes:
    return bytes(rng.integers(97, 123, 600, dtype=np.uint8))


def _exif(text: bytes) -> bytes:
    tags = Image.Exif()
    tags[_EXIF] = b"ASCII\0\0\0" + text
    return tags.tobytes()


def _distinct(root: Path, index: int, rng: np.random.Generator) -> None:
    image_format = _FORMATS[index % len(_FORMATS)]
    pixels = _pixels(rng)
    if image_format == "rgba":
        pixels = np.dstack([pixels, _pixels(rng)[:, :, 0]])
    exif = _exif(_text(rng)) if index % 3 == 0 and image_format in ("jpeg", "png", "rgba") else b""
    (root / "clean" / f"{index:06}.{_suffix(image_format)}").write_bytes(_encoded(pixels, image_format, exif=exif))


def _tailed(root: Path, index: int, seed: int) -> None:
    source = index % _SOURCES
    if source not in _encoded_sources:
        image_format = _FORMATS[source % len(_FORMATS)]
        _encoded_sources[source] = _encoded(_pixels(np.random.default_rng((seed, source))), image_format)
    name = f"{index:06}.{_suffix(_FORMATS[source % len(_FORMATS)])}"
    (root / "clean" / name).write_bytes(_encoded_sources[source] + index.to_bytes(4, "big"))


def _cover_and_stego(root: Path, index: int, rng: np.random.Generator, count: int) -> None:
    pixels, text = _pixels(rng), _text(rng)
    opaque = np.full((SIZE, SIZE), 255, np.uint8)
    plain = _encoded(pixels, "png")
    palette = io.BytesIO()
    indexed = Image.fromarray(pixels).quantize(128, method=Image.Quantize.FASTOCTREE)
    indices = embed_bits(np.asarray(indexed), text, "msb-first")
    stego = Image.fromarray(indices, "P")
    stego.putpalette(indexed.getpalette() or [])
    stego.save(palette, "GIF")
    files = {
        f"clean/{index:06}.png": plain,
        f"stego/eoi/{index:06}.png": embed_eoi(plain, text),
        f"stego/exif/{index:06}.png": _encoded(pixels, "png", exif=_exif(text)),
        f"stego/alpha/{index:06}.png": _encoded(np.dstack([pixels, embed_alpha(opaque, text)]), "rgba"),
        f"stego/lsb/{index:06}.png": _encoded(embed_bits(pixels, text, "lsb-first"), "png"),
        f"stego/palette/{index:06}.gif": palette.getvalue(),
    }
    for name, content in list(files.items())[:count]:
        (root / name).write_bytes(content)
