"""Model cards: which models a folder of models holds, what a card says, and where each model's file is."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from exporter.errors import ConfigError, DatasetError, ModelError
from exporter.strict_yaml import read_yaml

CARD: Final = "card.yml"
MODEL: Final = "model.onnx"


@dataclass(frozen=True, slots=True)
class CardedModel:
    """A model with a card; `name` is its folder's, which is unique whatever the cards say.

    `problem` says in one line why the card cannot be used; then `file` is a guess.
    """

    name: str
    title: str
    file: Path
    training_log: Path | None
    problem: str | None


def read_card(folder: Path) -> dict[str, Any]:
    """The card of a model folder; ModelError names the file that is missing or broken, in one line."""
    path = folder / CARD
    if not path.exists():
        raise ModelError(f"{path}: no such card", reason="missing")
    try:
        card = read_yaml(path)
    except ConfigError as error:
        raise ModelError(f"not a readable card: {error}", reason="unreadable") from error
    if not isinstance(card, dict):
        raise ModelError(f"{path}: not a card: expected keys and values", reason="invalid")
    return card


def find_models(root: Path) -> tuple[CardedModel, ...]:
    """Every `<root>/*/card.yml`, sorted by folder; DatasetError where the folder cannot be read or holds none."""
    try:
        folders = sorted(folder for folder in root.iterdir() if (folder / CARD).exists())
    except OSError as error:
        raise DatasetError(f"{root}: cannot be read: {error.strerror or error}") from error
    if not folders:
        raise DatasetError(f"{root}: no model card; expected {root}/<model>/{CARD}")
    return tuple(_read(folder) for folder in folders)


def _read(folder: Path) -> CardedModel:
    try:
        card = read_card(folder)
    except ModelError as error:
        return CardedModel(folder.name, "", folder / MODEL, None, str(error))
    file = card.get("file", MODEL)
    if not isinstance(file, str) or Path(file).name != file:
        problem = f"{folder / CARD}: file: expected the name of a file beside the card"
        return CardedModel(folder.name, "", folder / MODEL, None, problem)
    log = folder / "training_log.jsonl"
    return CardedModel(
        name=folder.name,
        title=str(card.get("title", "")),
        file=folder / file,
        training_log=log if log.exists() else None,
        problem=None,
    )
