"""Discovery of research models: the subfolders of `research.models_dir` with a card or a model."""

from __future__ import annotations

from dataclasses import dataclass

from pydantic import ValidationError

from starlight_exporter.config import MAX_MODELS, Config, ModelConfig
from starlight_exporter.errors import DatasetError
from starlight_exporter.models.cards import FoundModel, find_models


@dataclass(frozen=True, slots=True)
class Discovery:
    """The discovered models, sorted by name, and a warning for each problem."""

    models: tuple[ModelConfig, ...]
    warnings: tuple[str, ...]


def discover(config: Config) -> Discovery:
    """Return the research models that are not configured by name or file.

    Together with the configured models there are at most MAX_MODELS: the first by name.
    """
    if config.research is None:
        return Discovery((), ())
    try:
        everything = find_models(config.research.models_dir)
    except DatasetError as error:
        return Discovery((), (str(error),))
    files = {model.file for model in config.models}
    models: list[ModelConfig] = []
    warnings: list[str] = []
    for found in everything:
        if config.model(found.name) is not None or found.file in files:
            continue
        if found.problem is not None:
            warnings.append(f"{found.problem}; {found.file.name} is used as the model")
        try:
            model = _entry(found, config)
        except ValidationError as error:
            warnings.append(
                f"{found.file.parent}: not evaluated: its name is not a valid label: {error.errors()[0]['msg']}"
            )
            continue
        if len(config.models) + len(models) < MAX_MODELS:
            models.append(model)
        else:
            warnings.append(f"{found.file.parent}: not evaluated: the maximum of {MAX_MODELS} models is reached")
    return Discovery(tuple(models), tuple(warnings))


def with_discovered(config: Config, found: Discovery) -> Config:
    """Return the configuration with the discovered models after the configured ones."""
    return config.model_copy(update={"models": (*config.models, *found.models)})


def _entry(found: FoundModel, config: Config) -> ModelConfig:
    assert config.research is not None
    return ModelConfig.model_validate(
        {
            "name": found.name,
            "file": str(found.file),
            "role": "research",
            "decision": config.research.decision,
            "providers": config.research.providers,
        }
    )
