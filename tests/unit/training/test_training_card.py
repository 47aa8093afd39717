"""The model card: both forms say the same, and a broken one is told in one line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from starlight_exporter.errors import ModelError
from starlight_exporter.models.cards import read_card
from training.card import notes, write_card

RATE = {"count": 3, "total": 2000, "ratio": 0.0015, "lower": 0.000309, "upper": 0.004378}
NONE = {"count": 0, "total": 0}
MADE = {"generator": 2, "seed": 9, "clean": 10, "stego": 5, "negatives": 5, "covers": None}


def card() -> dict[str, Any]:
    return {
        "name": "v9",
        "title": "an example",
        "parameters": 1234567,
        "size_bytes": 2345678,
        "sha256": "ab" * 32,
        "date": "2026-01-02",
        "inputs": ["lsb"],
        "outputs": ["stego_logits"],
        "decision": "probability > 0.5",
        "training": {
            "epochs": 2,
            "seed": 4,
            "images": 20,
            "validation_images": 20,
            "datasets": [MADE],
            "validation_dataset": None,
            "last_epoch": {"train_loss": 0.25, "validation_loss": 0.5, "validation_accuracy": 0.875},
        },
        "measured": [
            {
                "dataset": "a test set",
                "made_with": MADE,
                "images": 2010,
                "not_measured": 2,
                "false_positives": RATE,
                "false_positives_by_format": {"png": NONE},
                "false_positives_among_negatives": {"patterns": RATE},
                "detections": {"alpha": RATE},
                "roc_auc": None,
                "log_loss": None,
            }
        ],
        "weaknesses": [{"probe": "short texts", "seed": 1, "detections": {"alpha": RATE}}],
        "latency": {
            "images": 1000,
            "size": "256x256",
            "milliseconds": {"p50": 1.5},
            "stage_mean_milliseconds": {"read": 0.1},
            "machine": "a machine",
            "load_before": 0.5,
            "load_after": 1.0,
        },
        "remarks": ["Nothing else."],
    }


def test_both_forms_are_written_and_read_back(tmp_path: Path) -> None:
    write_card(tmp_path, card())
    assert read_card(tmp_path) == card()
    assert (tmp_path / "README.md").read_text(encoding="utf-8") == notes(card())


def test_the_page_shows_counts_beside_rates_and_intervals() -> None:
    page = notes(card())
    assert "| False positives, all clean images | 3 | 2,000 | 0.15% | 0.03–0.44% |" in page
    assert "| short texts: alpha | 3 | 2,000 | 0.15% | 0.03–0.44% |" in page
    assert "2 not measured" in page
    assert "p50 1.5 ms" in page
    assert "--seed 9 --clean 10 --stego 5 --negatives 5" in page
    assert "- Nothing else." in page


def test_an_empty_slice_is_not_measured_rather_than_zero() -> None:
    assert "| False positives, clean png | – | 0 | not measured | |" in notes(card())


@pytest.mark.parametrize(
    ("content", "told", "reason"),
    [
        (None, "no such card", "missing"),
        ("a: [", "not a readable card", "unreadable"),
        ("- a", "not a card", "invalid"),
    ],
)
def test_a_card_that_cannot_be_used_is_named(tmp_path: Path, content: str | None, told: str, reason: str) -> None:
    if content is not None:
        (tmp_path / "card.yml").write_text(content, encoding="utf-8")
    with pytest.raises(ModelError, match=told) as caught:
        read_card(tmp_path)
    assert caught.value.reason == reason
    assert str(tmp_path / "card.yml") in str(caught.value)
    assert "\n" not in str(caught.value)
