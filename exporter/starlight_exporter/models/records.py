"""What is known of how a model came to be: training log, manifest of training files, card.

They lie beside the model's file. Deployment copies the file alone, so what does not lie beside it is looked for beside
a carded model of the same bytes: what holds of one holds of the other.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

from starlight_exporter.errors import DatasetError
from starlight_exporter.files import file_sha256_or_none
from starlight_exporter.models.cards import CARD, FoundModel, Origin, find_models, model_in
from starlight_exporter.models.training_files import MANIFEST_NAME

TRAINING_LOG: Final = "training_log.jsonl"


@dataclass(frozen=True, slots=True)
class Records:
    """Where each stands, None where there is none; `problems` are lines about cards that cannot be used."""

    training_log: Path | None
    manifest: Path | None
    origin: Origin | None
    problems: tuple[str, ...] = ()


def records(model: Path, sha256: str, *, training_log: Path | None, models_dir: Path | None) -> Records:
    """What is known of the model whose file has this SHA-256, as the folders are now.

    What lies beside it goes before what lies beside another of the same bytes, and `training_log` before both. Where a
    card states another hash for the file, all beside it is of the model that was there before, and is not used. A
    folder of models that cannot be read tells nothing.
    """
    model = model.absolute()
    own = model_in(model.parent)
    replaced = _is_about(own, model) and own.sha256 not in (None, sha256)
    problems = () if own.problem is None else (own.problem,)
    if replaced:
        problems = (_other_model(own, sha256),)
    origin = Origin(own.name, own.title, beside=True) if _is_about(own, model) and not replaced else None
    log = training_log or (None if replaced else _existing(model.with_name(TRAINING_LOG)))
    manifest = None if replaced else _existing(model.with_name(MANIFEST_NAME))
    if log is not None and manifest is not None and origin is not None:
        return Records(log, manifest, origin, problems)
    same = None if models_dir is None else _same_bytes(models_dir, model, sha256)
    if same is None:
        return Records(log, manifest, origin, problems)
    return Records(
        training_log=log or _existing(same.file.with_name(TRAINING_LOG)),
        manifest=manifest or _existing(same.file.with_name(MANIFEST_NAME)),
        origin=origin or Origin(same.name, same.title, beside=False),
        problems=problems,
    )


def carded_twin(models: tuple[FoundModel, ...], file: Path) -> FoundModel | None:
    """The first carded one of these models, other than the file itself, that has the same bytes as it."""
    sha256 = file_sha256_or_none(file)
    return None if sha256 is None else _twin(models, file, sha256)


def _same_bytes(models_dir: Path, model: Path, sha256: str) -> FoundModel | None:
    try:
        return _twin(find_models(models_dir), model, sha256)
    except DatasetError:
        return None


def _twin(models: tuple[FoundModel, ...], file: Path, sha256: str) -> FoundModel | None:
    size = _size(file)
    for found in models:
        usable = found.has_card and found.problem is None and found.sha256 in (None, sha256)
        if not usable or found.file.absolute() == file.absolute():
            continue
        # Sizes are cheap: hardly a file is read that is not the one.
        if _size(found.file) == size and file_sha256_or_none(found.file) == sha256:
            return found
    return None


def _is_about(found: FoundModel, model: Path) -> bool:
    """Whether there is a card beside the model that can be used and names this file."""
    return found.has_card and found.problem is None and found.file == model


def _other_model(found: FoundModel, sha256: str) -> str:
    stated, card = found.sha256 or "", found.file.with_name(CARD)
    return f"{card}: is of another {found.file.name} ({stated[:12]}, not {sha256[:12]}): training beside it not used"


def _existing(path: Path) -> Path | None:
    return path if path.exists() else None


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:
        return None
