"""Payload texts: size, valid UTF-8, no zero bytes."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from starlight_exporter.synthesis import payloads


@given(seed=st.integers(0, 2**32), size=st.integers(1, 5000))
@settings(max_examples=80, deadline=None)
def test_payload_is_utf8_of_the_given_size_without_zero_bytes(seed: int, size: int) -> None:
    payload = payloads.make_payload(np.random.default_rng(seed), size)
    payload.text.decode()
    assert b"\x00" not in payload.text
    assert size - 3 <= len(payload.text) <= size
    assert payload.kind.isalnum()


def test_payloads_are_of_all_kinds_and_few_are_not_ascii() -> None:
    made = [payloads.make_payload(np.random.default_rng(seed), 600) for seed in range(400)]
    assert len({payload.kind for payload in made}) == 10
    assert 0.02 <= np.mean([not payload.text.isascii() for payload in made]) <= 0.12


@pytest.mark.parametrize("size", [40_000, 120_000])
def test_long_payloads_do_not_repeat(size: int) -> None:
    for seed in range(12):
        text = payloads.make_payload(np.random.default_rng(seed), size).text
        assert text.count(text[1000:1060]) <= 2
