"""Images rendered for pages: bounded size, no metadata, evaluated content only."""

from __future__ import annotations

import hashlib
import io
from pathlib import Path

import numpy as np
import piexif
import pytest
from PIL import Image

from starlight_exporter.dataset.rendering import render_streams, thumbnail, write_thumbnails
from starlight_exporter.dataset.sources.shared import SHARED
from starlight_exporter.dataset.thumbnail_names import thumbnail_name
from starlight_exporter.detector.decoding import decode
from starlight_exporter.detector.streams import tensors
from starlight_exporter.errors import ImageError
from support.images import image_bytes

MARKUP = b"<script>alert(1)</script>"


def opened(data: bytes) -> Image.Image:
    return Image.open(io.BytesIO(data), formats=["PNG"])


def with_metadata() -> bytes:
    """A JPEG with markup in its EXIF and tail."""
    exif = piexif.dump({"Exif": {piexif.ExifIFD.UserComment: b"ASCII\0\0\0" + MARKUP}})
    file = io.BytesIO()
    opened(image_bytes(1, size=(300, 200))).convert("RGB").save(file, "JPEG", exif=exif, comment=MARKUP)
    return file.getvalue() + MARKUP


def test_thumbnail_is_small_and_has_no_metadata() -> None:
    data = thumbnail(with_metadata())
    with opened(data) as image:
        assert image.size == (128, 85)
        assert image.info == {}
    assert MARKUP not in data


@pytest.mark.parametrize(
    "data", [b"", b"no image", image_bytes(1)[:200], b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n"]
)
def test_rejects_files_that_cannot_be_decoded(data: bytes) -> None:
    with pytest.raises(ImageError):
        thumbnail(data)
    with pytest.raises(ImageError):
        render_streams(data)


def test_rejects_large_images_from_their_header() -> None:
    with pytest.raises(ImageError) as error:
        thumbnail(image_bytes(1, size=(40, 30)), max_pixels=1_199)
    assert error.value.reason == "too_large"


def test_rendered_planes_equal_the_streams() -> None:
    data = image_bytes(5, "png", mode="RGBA", size=(300, 260)) + MARKUP * 2
    rendered, streams = render_streams(data), tensors(decode(data))
    assert set(rendered.images) == {"pixel", "lsb-red", "lsb-green", "lsb-blue", "alpha", "alpha-lsb"}
    planes = {name: np.asarray(opened(found)) for name, found in rendered.images.items()}
    assert np.array_equal(planes["pixel"].transpose(2, 0, 1) / np.float32(255), streams["pixel"])
    assert np.array_equal(planes["lsb-green"] / np.float32(255), streams["lsb"][1])
    assert np.array_equal(planes["alpha"] / np.float32(255), streams["alpha"][0])
    assert np.array_equal(planes["alpha-lsb"] / np.float32(255), streams["alpha"][1])
    # In the contract, the tail of a PNG starts four bytes after its end.
    assert rendered.meta == (2 * MARKUP)[4:]
    assert rendered.tail_bytes == 2 * len(MARKUP) - 4
    assert rendered.format == tuple(float(value) for value in streams["format"])
    assert rendered.content == tuple(float(value) for value in streams["content"])


def test_palette_is_rendered_in_order() -> None:
    data = image_bytes(5, "gif", size=(40, 40))
    rendered = render_streams(data)
    assert "alpha" not in rendered.images
    swatches = np.asarray(opened(rendered.images["palette"]))[::8, ::8].reshape(-1, 3)
    palette = decode(data).palette
    assert rendered.colours == len(palette) // 3
    assert swatches[: rendered.colours].tobytes() == palette[: rendered.colours * 3]


def test_reads_only_the_evaluated_content(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"content")
    digest = hashlib.sha256(b"content").hexdigest()
    assert SHARED.read_evaluated(tmp_path, "a.png", digest, max_bytes=7) == b"content"
    with pytest.raises(ImageError, match="is larger than 6 bytes"):
        SHARED.read_evaluated(tmp_path, "a.png", digest, max_bytes=6)
    (tmp_path / "a.png").write_bytes(b"another")
    with pytest.raises(ImageError, match="has changed since it was evaluated"):
        SHARED.read_evaluated(tmp_path, "a.png", digest, max_bytes=7)
    with pytest.raises(ImageError, match="cannot be read"):
        SHARED.read_evaluated(tmp_path, "missing.png", digest, max_bytes=7)
    (tmp_path / "root").mkdir()
    with pytest.raises(ImageError, match="leads out of"):
        SHARED.read_evaluated(tmp_path / "root", "../a.png", digest, max_bytes=10_000)


def test_writes_thumbnails_of_decodable_files(tmp_path: Path) -> None:
    (tmp_path / "good.png").write_bytes(image_bytes(1))
    (tmp_path / "bad.png").write_bytes(b"bad")
    write_thumbnails(
        tmp_path, ["good.png", "bad.png", "missing.png"], tmp_path / "out", max_bytes=10**6, max_pixels=10**6
    )
    assert [file.name for file in (tmp_path / "out").iterdir()] == [thumbnail_name("good.png")]
