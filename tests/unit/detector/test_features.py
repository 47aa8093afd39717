"""Standard deviation of planes: bit-exact with numpy, with less memory."""

from __future__ import annotations

import math
import tracemalloc

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from starlight_exporter.detector.decoding import decode
from starlight_exporter.detector.features import standard_deviation
from starlight_exporter.detector.streams import tensors
from support.stream_reference import encoded


@settings(max_examples=30, deadline=None)
@given(height=st.integers(1, 900), width=st.integers(1, 900), seed=st.integers(0, 99), top=st.integers(1, 256))
def test_standard_deviation_is_bit_exact_with_numpy(height: int, width: int, seed: int, top: int) -> None:
    plane = np.random.default_rng(seed).integers(0, top, (height, width), dtype=np.uint8)
    assert standard_deviation(plane) == float(np.std(plane))


def test_standard_deviation_of_a_constant_plane_is_zero() -> None:
    assert standard_deviation(np.full((511, 1023), 253, np.uint8)) == 0.0
    assert math.copysign(1, standard_deviation(np.zeros((1, 1), np.uint8))) == 1


def test_features_of_a_large_alpha_plane_need_less_than_30_mb() -> None:
    decoded = decode(encoded(Image.new("RGBA", (3000, 3000), (1, 2, 3, 4)), "PNG", compress_level=1))
    tracemalloc.start()
    tensors(decoded, {"format", "content", "alpha"})
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 30e6
