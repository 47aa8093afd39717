"""Research models that are found instead of configured: the folders of `research.models_dir` with card or model."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import ValidationError

from starlight_exporter.config import MAX_MODELS, Config, ModelConfig
from starlight_exporter.errors import DatasetError
from starlight_exporter.models.cards import FoundModel, find_models


@dataclass(frozen=True, slots=True)
class Discovery:
    """The models found, sorted by name, and a line about each thing that is not as it should be."""

    models: tuple[ModelConfig, ...]
    remarks: tuple[str, ...]


def discover(config: Config) -> Discovery:
    """What the folder holds now, besides the models that `config` names, by name or by file.

    With the configured ones there are never more than MAX_MODELS: the first by name are taken.
    """
    if config.research is None:
        return Discovery((), ())
    try:
        everything = find_models(config.research.models_dir)
    except DatasetError as error:
        return Discovery((), (str(error),))
    files = {model.file for model in config.models}
    models: list[ModelConfig] = []
    remarks: list[str] = []
    for found in everything:
        if config.model(found.name) is not None or found.file in files:
            continue
        if found.problem is not None:
            remarks.append(f"{found.problem}; {found.file.name} is taken for the model")
        try:
            model = _entry(found, config)
        except ValidationError as error:
            remarks.append(f"{found.file.parent}: not evaluated: its name is no label: {error.errors()[0]['msg']}")
            continue
        if len(config.models) + len(models) < MAX_MODELS:
            models.append(model)
        else:
            remarks.append(f"{found.file.parent}: not evaluated: there are {MAX_MODELS} models already")
    return Discovery(tuple(models), tuple(remarks))


def with_discovered(config: Config, found: Discovery) -> Config:
    """The configuration with the found models behind the configured ones."""
    return config.model_copy(update={"models": (*config.models, *found.models)})


def _entry(found: FoundModel, config: Config) -> ModelConfig:
    assert config.research is not None
    return ModelConfig.model_validate(
        {"name": found.name, "file": str(found.file), "role": "research", "decision": config.research.decision}
    )
