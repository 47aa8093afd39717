"""Paired tests and limits, against reference values and enumeration."""

from __future__ import annotations

import itertools
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from starlight_exporter.statistics.multiple_testing import holm
from starlight_exporter.statistics.paired import paired_upper_limit, sign_flip_p_value

VECTORS: dict[str, list[dict[str, Any]]] = json.loads(
    (Path(__file__).resolve().parents[2] / "resources" / "vectors" / "statistics.json").read_text()
)


@pytest.mark.parametrize("case", VECTORS["sign_flip"], ids=range(len(VECTORS["sign_flip"])))
def test_sign_flip_p_value_matches_reference(case: dict[str, Any]) -> None:
    assert sign_flip_p_value(case["d"]) == pytest.approx(case["p"], rel=1e-10)


@given(st.lists(st.integers(-6, 6), max_size=10))
def test_sign_flip_p_value_matches_enumeration(differences: list[int]) -> None:
    total = sum(differences)
    sizes = [abs(one) for one in differences]
    sums = [
        sum(sign * size for sign, size in zip(signs, sizes, strict=True))
        for signs in itertools.product((-1, 1), repeat=len(sizes))
    ]
    expected = sum(one >= total for one in sums) / len(sums)
    if not any(differences):
        expected = 1.0
    assert sign_flip_p_value(differences) == pytest.approx(expected, rel=1e-9)


@pytest.mark.timeout(60)
def test_sign_flip_p_value_of_many_covers_agrees_with_the_normal_approximation() -> None:
    """As after a bad change of a model on a million images: quadratic time would take minutes."""
    differences = np.random.default_rng(0).integers(-3, 4, 200_000)
    z = (differences.sum() - 0.5) / math.sqrt(np.sum(differences.astype(np.int64) ** 2))
    assert sign_flip_p_value(differences) == pytest.approx(stats.norm.sf(z), abs=1e-3)


@pytest.mark.parametrize("case", VECTORS["mcnemar_one_sided"], ids=range(len(VECTORS["mcnemar_one_sided"])))
def test_sign_flips_of_single_files_match_one_sided_mcnemar(case: dict[str, Any]) -> None:
    broken, fixed = case["broken"], case["fixed"]
    assert sign_flip_p_value([1] * broken + [-1] * fixed) == pytest.approx(case["p"], rel=1e-10)


@pytest.mark.parametrize("case", VECTORS["mover_upper"], ids=range(len(VECTORS["mover_upper"])))
def test_paired_upper_limit_matches_reference(case: dict[str, Any]) -> None:
    found = paired_upper_limit(
        broken=case["broken"],
        fixed=case["fixed"],
        both_wrong=case["both_wrong"],
        files=case["n"],
        factor=case["factor"],
    )
    assert found == pytest.approx(case["upper"], rel=1e-10)


@pytest.mark.parametrize("case", VECTORS["holm"], ids=range(len(VECTORS["holm"])))
def test_holm_matches_reference(case: dict[str, Any]) -> None:
    assert holm(case["p"]) == pytest.approx(case["adjusted"], rel=1e-12)


def test_holm_of_no_test_is_empty() -> None:
    assert holm([]) == ()
