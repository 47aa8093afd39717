"""Model cards as the tools read them: which models a folder holds, and where each one's file is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import yaml

from exporter.errors import DatasetError

CARD: Final = "card.yml"


@dataclass(frozen=True, slots=True)
class CardedModel:
    """A model that a card names. `problem` says in one line why the card cannot be used; then `file` is a guess."""

    name: str
    title: str
    file: Path
    training_log: Path | None
    problem: str | None


def find_models(root: Path) -> tuple[CardedModel, ...]:
    """Every `<root>/*/card.yml`, sorted by name; DatasetError where the folder cannot be read or holds none."""
    try:
        folders = sorted(folder for folder in root.iterdir() if (folder / CARD).exists())
    except OSError as error:
        raise DatasetError(f"{root}: cannot be read: {error.strerror or error}") from error
    if not folders:
        raise DatasetError(f"{root}: no model card; expected {root}/<model>/{CARD}")
    return tuple(_read(folder) for folder in folders)


def _read(folder: Path) -> CardedModel:
    guess = folder / "model.onnx"
    try:
        card = yaml.safe_load((folder / CARD).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        return CardedModel(folder.name, "", guess, None, f"{folder / CARD}: {' '.join(str(error).split())}")
    if not isinstance(card, dict) or not isinstance(card.get("file", "model.onnx"), str):
        return CardedModel(folder.name, "", guess, None, f"{folder / CARD}: not a card: expected keys and values")
    log = folder / "training_log.jsonl"
    return CardedModel(
        name=str(card.get("name", folder.name)),
        title=str(card.get("title", "")),
        file=folder / card.get("file", "model.onnx"),
        training_log=log if log.exists() else None,
        problem=None,
    )
