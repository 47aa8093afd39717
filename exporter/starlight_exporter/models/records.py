"""Records of the training of a model: training log, manifest of the training files, model card.

They are next to the model file. A deployed model is a copy of the file only, so missing records are taken from a model
with a card and the same content.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from starlight_exporter.detector.model_file import model_sha256_or_none
from starlight_exporter.errors import DatasetError, StorageError
from starlight_exporter.models.cards import CARD, FoundModel, Origin, find_models, model_in
from starlight_exporter.models.training_files import MANIFEST_NAME, Manifest, read_manifest
from starlight_exporter.models.training_log import TrainingHealth, read_training_log

TRAINING_LOG: Final = "training_log.jsonl"


@dataclass(frozen=True, slots=True)
class RecordFiles:
    """Paths of the records of a model, None if there is none; `problems` are about cards that cannot be used."""

    training_log: Path | None
    manifest: Path | None
    origin: Origin | None
    problems: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Records:
    """Content of the records of a model; `problems` are about records that cannot be used, which are None."""

    training: TrainingHealth | None
    manifest: Manifest | None
    origin: Origin | None
    problems: tuple[str, ...]


def read_records(model: Path, sha256: str, *, training_log: Path | None, models_dir: Path | None) -> Records:
    """Find and read the records of a model file with this SHA-256; see `find_records`."""
    files = find_records(model, sha256, training_log=training_log, models_dir=models_dir)
    problems = list(files.problems)
    training = manifest = None
    if files.training_log is not None:
        try:
            training = read_training_log(
                files.training_log, root=None if training_log else _root(files.training_log, models_dir)
            )
        except StorageError as error:
            problems.append(str(error))
    if files.manifest is not None:
        try:
            manifest = read_manifest(files.manifest, root=_root(files.manifest, models_dir))
        except StorageError as error:
            problems.append(str(error))
    return Records(training, manifest, files.origin, tuple(problems))


def find_records(model: Path, sha256: str, *, training_log: Path | None, models_dir: Path | None) -> RecordFiles:
    """Find the records of a model file with this SHA-256.

    `training_log` takes precedence over records next to the model, and these over records next to a model of
    `models_dir` with the same content. If there is no manifest next to a model, the one that its card names is used.
    If the card next to the model states another hash, everything next to it belongs to a replaced model and is ignored.
    An unreadable `models_dir` is ignored.
    """
    model = model.absolute()
    own = model_in(model.parent)
    replaced = _describes(own, model) and own.sha256 not in (None, sha256)
    problems = () if own.problem is None else (own.problem,)
    if replaced:
        problems = (_replaced_model(own, sha256),)
    usable_card = _describes(own, model) and not replaced
    origin = Origin(own.name, own.title, own_card=True) if usable_card else None
    log = training_log or (None if replaced else _existing(model.with_name(TRAINING_LOG)))
    named = own.training_files if usable_card else None
    manifest = None if replaced else _existing(model.with_name(MANIFEST_NAME), named)
    if log is not None and manifest is not None and origin is not None:
        return RecordFiles(log, manifest, origin, problems)
    same = None if models_dir is None else _find_same_content(models_dir, model, sha256)
    if same is None:
        # A manifest that the card names but that does not exist is reported when it is read.
        return RecordFiles(log, manifest or named, origin, problems)
    manifest = manifest or _existing(same.file.with_name(MANIFEST_NAME), same.training_files)
    return RecordFiles(
        training_log=log or _existing(same.file.with_name(TRAINING_LOG)),
        manifest=manifest or named or same.training_files,
        origin=origin or Origin(same.name, same.title, own_card=False),
        problems=problems,
    )


def same_content_with_card(models: tuple[FoundModel, ...], file: Path) -> FoundModel | None:
    """Return the first other model with a card and the same content as `file`, or None."""
    sha256 = model_sha256_or_none(file)
    return None if sha256 is None else _same_content(models, file, sha256)


def _find_same_content(models_dir: Path, model: Path, sha256: str) -> FoundModel | None:
    try:
        return _same_content(find_models(models_dir), model, sha256)
    except DatasetError:
        return None


def _same_content(models: tuple[FoundModel, ...], file: Path, sha256: str) -> FoundModel | None:
    size = _size(file)
    for found in models:
        usable = found.has_card and found.problem is None and found.sha256 in (None, sha256)
        if not usable or found.file.absolute() == file.absolute():
            continue
        # Compare sizes first, so that few files have to be read.
        root = found.file.parent.parent
        if _size(found.file) == size and model_sha256_or_none(found.file, root=root) == sha256:
            return found
    return None


def _root(record: Path, models_dir: Path | None) -> Path:
    """Return the folder out of which a link to a record must not lead: `models_dir`, or the folder of the record."""
    folder = record.absolute().parent
    return models_dir if models_dir is not None and folder.is_relative_to(models_dir.absolute()) else folder


def _describes(found: FoundModel, model: Path) -> bool:
    """Return whether there is a usable card next to the model, and it names this file."""
    return found.has_card and found.problem is None and found.file == model


def _replaced_model(found: FoundModel, sha256: str) -> str:
    stated, card = found.sha256 or "", found.file.with_name(CARD)
    return f"{card}: describes another {found.file.name} ({stated[:12]}, not {sha256[:12]}), training records ignored"


def _existing(*paths: Path | None) -> Path | None:
    """Return the first of these paths that exists, or None."""
    # pathlib raises PermissionError for an inaccessible folder.
    return next((path for path in paths if path is not None and os.path.exists(path)), None)  # noqa: PTH110


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:
        return None
