"""Model cards, and the models of a folder of models."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import AliasChoices, Field

from starlight_exporter.errors import ConfigError, DatasetError, ModelError
from starlight_exporter.strict_yaml import read_yaml

CARD: Final = "card.yml"
MODEL: Final = "model.onnx"
MAX_CARD_BYTES: Final = 64 * 1024
MAX_TITLE: Final = 200

_SHA256: Final = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Origin:
    """Model card of an evaluated model: its folder and title (empty if the card has none).

    `own_card` is False if the card is next to another file with the same content.
    """

    folder: str
    title: str
    own_card: Annotated[bool, Field(validation_alias=AliasChoices("own_card", "beside"))]

    def describe(self) -> str:
        """Return a text such as `the same bytes as v4: all eight streams`."""
        whose = self.folder if self.own_card else f"the same bytes as {self.folder}"
        return f"{whose}: {self.title}" if self.title else whose


@dataclass(frozen=True, slots=True)
class FoundModel:
    """A model in a folder of models; `name` is the name of its own folder, so it is unique.

    `sha256` is the hash that the card states, or None; `training_files` is the manifest that it names, or None.
    `problem` is why the card cannot be used; `file` is then assumed to be `<name>/model.onnx`, as it is without a card.
    """

    name: str
    file: Path
    has_card: bool = True
    title: str = ""
    sha256: str | None = None
    training_files: Path | None = None
    problem: str | None = None


def read_card(folder: Path) -> dict[str, Any]:
    """Read the card of a model folder. Raise ModelError if it is missing or invalid."""
    path = folder / CARD
    if not os.path.exists(path):  # noqa: PTH110  # as in `holds_model`
        raise ModelError(f"{path}: no such card", reason="missing")
    try:
        card = read_yaml(path, max_bytes=MAX_CARD_BYTES, root=folder.parent)
    except ConfigError as error:
        raise ModelError(f"not a readable card: {error}", reason="unreadable") from error
    if not isinstance(card, dict):
        raise ModelError(f"{path}: not a card: expected keys and values", reason="invalid")
    return card


def find_models(root: Path) -> tuple[FoundModel, ...]:
    """Return the model of every folder of `root` with a card or a `model.onnx`, sorted by name.

    Raise DatasetError if `root` cannot be read or contains no model.
    """
    try:
        folders = sorted(folder for folder in root.iterdir() if holds_model(folder))
    except OSError as error:
        raise DatasetError(f"{root}: cannot be read: {error.strerror or error}") from error
    if not folders:
        raise DatasetError(f"{root}: no model; expected {root}/<model>/{CARD} or {root}/<model>/{MODEL}")
    return tuple(model_in(folder) for folder in folders)


def holds_model(folder: Path) -> bool:
    """Return whether a folder contains a card or a `model.onnx`, valid or not: a pipe or broken link is reported."""
    # pathlib raises PermissionError for an inaccessible folder, which must not hide the other models.
    return os.path.exists(folder / CARD) or os.path.lexists(folder / MODEL)  # noqa: PTH110


def model_in(folder: Path) -> FoundModel:
    """Return the model of a folder, as described by its card if it has one."""
    if not os.path.exists(folder / CARD):  # noqa: PTH110  # as above
        return FoundModel(folder.name, folder / MODEL, has_card=False)
    try:
        card = read_card(folder)
    except ModelError as error:
        return FoundModel(folder.name, folder / MODEL, problem=str(error))
    problem = _problem(card, folder)
    if problem is not None:
        return FoundModel(folder.name, folder / MODEL, problem=f"{folder / CARD}: {problem}")
    training_files = card.get("training_files")
    return FoundModel(
        name=folder.name,
        file=folder / card.get("file", MODEL),
        title=card.get("title") or "",
        sha256=card.get("sha256"),
        training_files=None if training_files is None else Path(os.path.normpath(folder / training_files)),
    )


def _problem(card: dict[str, Any], folder: Path) -> str | None:
    """Return the first value of a card that cannot be used, None without one."""
    title, file = card.get("title"), card.get("file", MODEL)
    sha256, training_files = card.get("sha256"), card.get("training_files")
    if title is not None and not (isinstance(title, str) and len(title) <= MAX_TITLE and title.isprintable()):
        return f"title: expected at most {MAX_TITLE} printable characters"
    if not _is_file_name(file):
        return "file: expected the name of a file next to the card"
    if sha256 is not None and not (isinstance(sha256, str) and _SHA256.fullmatch(sha256)):
        return "sha256: expected 64 hexadecimal digits in lower case"
    if training_files is not None and not _is_inside_models_dir(folder, training_files):
        return f"training_files: expected a relative path inside {folder.parent}"
    return None


def _is_file_name(value: object) -> bool:
    return isinstance(value, str) and value.isprintable() and Path(value).name == value and value not in ("", "..")


def _is_inside_models_dir(folder: Path, value: object) -> bool:
    """Return whether a value of a card is a relative path that stays inside the parent of the model folder."""
    if not isinstance(value, str) or not value.isprintable() or not value or Path(value).is_absolute():
        return False
    # Normalised, because the path of a model may contain `..` too.
    folder = Path(os.path.normpath(folder.absolute()))
    return Path(os.path.normpath(folder / value)).is_relative_to(folder.parent)
