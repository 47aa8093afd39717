"""Model cards: which models a folder of models holds, what a card says, and where each model's file is."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from starlight_exporter.errors import ConfigError, DatasetError, ModelError
from starlight_exporter.strict_yaml import read_yaml

CARD: Final = "card.yml"
MODEL: Final = "model.onnx"


@dataclass(frozen=True, slots=True)
class Origin:
    """The card that tells of a model: the model folder it lies in, and its title (empty where it gives none).

    `beside` is False where the card lies beside another file of the same bytes, not beside the evaluated one.
    """

    folder: str
    title: str
    beside: bool

    def describe(self) -> str:
        """In words, e.g. `the same bytes as v4: all eight streams`."""
        whose = self.folder if self.beside else f"the same bytes as {self.folder}"
        return f"{whose}: {self.title}" if self.title else whose


@dataclass(frozen=True, slots=True)
class FoundModel:
    """A model of a folder of models; `name` is its folder's, which is unique whatever the cards say.

    `sha256` is what the card states, None where it states none. `problem` says in one line why the card cannot be used;
    then `file` is a guess. Without a card there is nothing but `<name>/model.onnx`.
    """

    name: str
    file: Path
    has_card: bool = True
    title: str = ""
    sha256: str | None = None
    problem: str | None = None


def read_card(folder: Path) -> dict[str, Any]:
    """The card of a model folder; ModelError names the file that is missing or broken, in one line."""
    path = folder / CARD
    if not os.path.exists(path):  # noqa: PTH110  # as in `holds_model`
        raise ModelError(f"{path}: no such card", reason="missing")
    try:
        card = read_yaml(path)
    except ConfigError as error:
        raise ModelError(f"not a readable card: {error}", reason="unreadable") from error
    if not isinstance(card, dict):
        raise ModelError(f"{path}: not a card: expected keys and values", reason="invalid")
    return card


def find_models(root: Path) -> tuple[FoundModel, ...]:
    """Every folder of `root` with a card or a `model.onnx`, sorted by name.

    DatasetError where the folder cannot be read or holds none.
    """
    try:
        folders = sorted(folder for folder in root.iterdir() if holds_model(folder))
    except OSError as error:
        raise DatasetError(f"{root}: cannot be read: {error.strerror or error}") from error
    if not folders:
        raise DatasetError(f"{root}: no model; expected {root}/<model>/{CARD} or {root}/<model>/{MODEL}")
    return tuple(model_in(folder) for folder in folders)


def holds_model(folder: Path) -> bool:
    """Whether a folder counts as a model's, whatever is in the files."""
    # Path's own raise where the folder may not be looked into; one such folder must not hide the others.
    return os.path.exists(folder / CARD) or os.path.isfile(folder / MODEL)  # noqa: PTH110, PTH113


def model_in(folder: Path) -> FoundModel:
    """The model of a folder, as its card describes it if it has one."""
    if not os.path.exists(folder / CARD):  # noqa: PTH110  # as above
        return FoundModel(folder.name, folder / MODEL, has_card=False)
    try:
        card = read_card(folder)
    except ModelError as error:
        return FoundModel(folder.name, folder / MODEL, problem=str(error))
    file = card.get("file", MODEL)
    if not isinstance(file, str) or Path(file).name != file:
        problem = f"{folder / CARD}: file: expected the name of a file beside the card"
        return FoundModel(folder.name, folder / MODEL, problem=problem)
    return FoundModel(
        name=folder.name,
        file=folder / file,
        title=str(card.get("title", "")),
        sha256=None if card.get("sha256") is None else str(card["sha256"]),
    )
