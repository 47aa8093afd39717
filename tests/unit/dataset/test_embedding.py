"""Whether a payload reaches the crop, compared with embedded bits."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from starlight_exporter.dataset.embedding import reaches_crop
from starlight_exporter.detector.contract import Method
from starlight_exporter.detector.crop import crop_box
from starlight_exporter.synthesis.embeddings import ALPHA_PREFIX, embed_bits

SIZES = st.integers(1, 400)


def crop_of_changes(method: Method, payload: int, width: int, height: int) -> bool:
    """Return whether the crop of an image contains a bit of a payload of ones."""
    shape = (height, width, 3) if method == "lsb" else (height, width)
    prefix = len(ALPHA_PREFIX) if method == "alpha" else 0
    changed = embed_bits(np.zeros(shape, np.uint8), b"\xff" * (prefix + payload), "lsb-first")
    left, top, right, bottom = crop_box(width, height)
    return bool(changed[top:bottom, left:right].any())


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(("alpha", "palette", "lsb")), SIZES, SIZES, st.floats(0, 1), st.integers(-1, 1))
def test_position_agrees_with_embedded_bits(method: Method, width: int, height: int, share: float, off_by: int) -> None:
    bits = 3 if method == "lsb" else 1
    left, top, *_ = crop_box(width, height)
    first = (top * width + left) * bits // 8
    capacity = width * height * bits // 8 - len(ALPHA_PREFIX)
    for payload in (round(share * capacity), first + off_by, first + off_by - len(ALPHA_PREFIX)):
        if 0 < payload <= capacity:
            expected = crop_of_changes(method, payload, width, height)
            assert reaches_crop(method, payload, width, height) == expected


@pytest.mark.parametrize("method", ["alpha", "palette", "lsb"])
def test_empty_payload_reaches_nothing(method: Method) -> None:
    assert reaches_crop(method, 0, 64, 64) is False


@pytest.mark.parametrize("method", ["exif", "eoi"])
def test_position_of_metadata_is_unknown(method: Method) -> None:
    assert reaches_crop(method, 100, 64, 64) is None
