"""The model card: YAML and Markdown, and errors of invalid cards."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from starlight_exporter.errors import ModelError
from starlight_exporter.models.cards import read_card
from training.card import card_markdown, write_card

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


def test_card_round_trip(tmp_path: Path) -> None:
    write_card(tmp_path, card())
    assert read_card(tmp_path) == card()
    assert (tmp_path / "README.md").read_text(encoding="utf-8") == card_markdown(card())


def test_markdown_contains_counts_rates_and_intervals() -> None:
    page = card_markdown(card())
    assert "| False positives, all clean images | 3 | 2,000 | 0.15% | 0.03–0.44% |" in page
    assert "| short texts: alpha | 3 | 2,000 | 0.15% | 0.03–0.44% |" in page
    assert "2 not measured" in page
    assert "p50 1.5 ms" in page
    assert "--seed 9 --clean 10 --stego 5 --negatives 5" in page
    assert "- Nothing else." in page


def test_empty_slice_is_not_measured() -> None:
    assert "| False positives, clean png | – | 0 | not measured | |" in card_markdown(card())


@pytest.mark.parametrize(
    ("content", "message", "reason"),
    [
        (None, "no such card", "missing"),
        ("a: [", "not a readable card", "unreadable"),
        ("- a", "not a card", "invalid"),
    ],
)
def test_reports_invalid_card(tmp_path: Path, content: str | None, message: str, reason: str) -> None:
    if content is not None:
        (tmp_path / "card.yml").write_text(content, encoding="utf-8")
    with pytest.raises(ModelError, match=message) as caught:
        read_card(tmp_path)
    assert caught.value.reason == reason
    assert str(tmp_path / "card.yml") in str(caught.value)
    assert "\n" not in str(caught.value)
