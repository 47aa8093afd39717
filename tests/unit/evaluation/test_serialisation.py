"""Serialisation of evaluations: round trip, invalid lines, files of earlier versions."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from starlight_exporter.errors import StorageError
from starlight_exporter.evaluation.results import Evaluation
from starlight_exporter.evaluation.serialisation import SCHEMA, from_json, to_json
from support.results import empty_evaluation
from support.snapshots import full_evaluation

relaxed = settings(max_examples=40, deadline=None)


@pytest.mark.parametrize("original", [full_evaluation(), empty_evaluation()], ids=["full", "bare"])
def test_round_trip_of_one_line(original: Evaluation) -> None:
    line = to_json(original)
    assert "\n" not in line
    assert json.loads(line)["schema"] == SCHEMA
    assert from_json(line) == original


@given(st.floats(allow_nan=False, allow_infinity=False), st.text(st.characters(codec="utf-8"), max_size=20))
@relaxed
@pytest.mark.slow
def test_round_trip_of_any_number_and_name(number: float, name: str) -> None:
    original = replace(full_evaluation(), finished_at=number, roc_auc=number, model=name)
    line = to_json(original)
    assert "\n" not in line
    assert from_json(line) == original


def test_rejects_numbers_that_are_not_finite() -> None:
    for bad in (math.nan, math.inf):
        with pytest.raises(ValueError, match="JSON"):
            to_json(replace(full_evaluation(), log_loss=bad))


def test_ignores_unknown_keys() -> None:
    content = {**json.loads(to_json(full_evaluation())), "regression_checks": [], "new": 1}
    assert from_json(json.dumps(content)) == full_evaluation()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        ({"schema": 2}, "schema 2; this version reads schema 1"),
        ({"schema": None}, "schema None"),
        ({"schema": True}, "schema True"),
        ({"images": "12"}, "images: "),
        ({"images": None}, "images: "),
        ({"role": "boss"}, "role: "),
        ({"clean": {"count": 1}}, r"clean\.total: .*in all"),
        ({"not_measured": {"asleep": 1}}, "not_measured"),
        ({"operating_points": {}}, "operating_points"),
    ],
)
def test_error_names_invalid_field(damage: dict[str, object], message: str) -> None:
    line = json.dumps({**json.loads(to_json(full_evaluation())), **damage})
    with pytest.raises(StorageError, match=message):
        from_json(line)


def test_error_names_missing_field() -> None:
    content = json.loads(to_json(full_evaluation()))
    del content["provenance"]["seed"]
    with pytest.raises(StorageError, match=r"provenance\.seed"):
        from_json(json.dumps(content))


def test_rejects_truncated_lines() -> None:
    line = to_json(full_evaluation())
    for length in range(0, len(line), 97):
        with pytest.raises(StorageError):
            from_json(line[:length])
    for text in ("[]", "null", "1", "[" * 100_000):
        with pytest.raises(StorageError):
            from_json(text)


def test_reads_keys_of_version_0_1_0() -> None:
    content = json.loads(to_json(full_evaluation()))
    content["execution"]["full_model_reason"] = content["execution"].pop("full_model_reason")
    content["origin"]["beside"] = content["origin"].pop("own_card")
    del content["provenance"]["execution_provider"]
    assert from_json(json.dumps(content)) == full_evaluation()
