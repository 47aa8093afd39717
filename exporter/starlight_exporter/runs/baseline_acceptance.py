"""Acceptance of the production model as the baseline: what to replace, why, and how to replace it."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

from starlight_exporter.checks.baseline import latency_obstacle, obstacle, read_baseline
from starlight_exporter.checks.machine import current_machine
from starlight_exporter.config import Config, DatasetConfig, ModelConfig
from starlight_exporter.dataset.generator import generator_version
from starlight_exporter.dataset.layout import scan
from starlight_exporter.dataset.sources.root import DatasetRoot, RemoteRoot
from starlight_exporter.detector.model_file import MAX_MODEL_BYTES, model_sha256, read_model
from starlight_exporter.errors import BaselineError, ConfigError, DatasetError, ModelError, StorageError
from starlight_exporter.evaluation.applied_rule import applied_rule_of_file
from starlight_exporter.evaluation.request import RunRequest
from starlight_exporter.evaluation.spec import current_spec
from starlight_exporter.file_access import read_content
from starlight_exporter.files import replacing, write_bytes, write_text
from starlight_exporter.models.roles import Role
from starlight_exporter.runs.configuration import run_request


@dataclass(frozen=True, slots=True)
class Acceptance:
    """The production model to accept, with its content, and the files to replace.

    `old_sha256` is None if the baseline model cannot be read; `old_problem` is then the reason. `is_link` is whether
    the baseline file is a link to the production file, which a new production model would change too.
    """

    config: Config
    production: ModelConfig
    baseline: ModelConfig
    dataset: DatasetConfig
    recorded: Path
    content: bytes
    sha256: str
    old_sha256: str | None
    old_problem: str
    is_link: bool

    @property
    def same_model(self) -> bool:
        """Whether the baseline model already has the content of the production model."""
        return self.old_sha256 == self.sha256

    @property
    def same_rule(self) -> bool:
        """Whether both models have the same decision rule."""
        return self.production.decision.rule() == self.baseline.decision.rule()

    @property
    def replaces_model(self) -> bool:
        """Whether the file of the baseline model has to be replaced."""
        return not self.same_model or self.is_link


def plan_acceptance(config: Config, file: Path) -> Acceptance:
    """Read both models of a configuration file. Raise ConfigError, ModelError or DatasetError if that fails."""
    production, baseline = _only_model(config, "production", file), _only_model(config, "baseline", file)
    if config.baseline is None:
        raise ConfigError(f"{file}: baseline: expected the file of the recorded baseline")
    if production.file.resolve() == baseline.file.parent.resolve() / baseline.file.name:
        raise ConfigError(f"{file}: models: {production.name} and {baseline.name} are the same file {baseline.file}")
    if config.baseline.resolve() in (production.file.resolve(), baseline.file.resolve()):
        raise ConfigError(f"{file}: baseline: expected the file of the recorded baseline, not a model")
    dataset = next((one for one in config.datasets if one.labelled and _exists(one.path)), None)
    if dataset is None:
        paths = ", ".join(str(one.path) for one in config.datasets if one.labelled)
        raise DatasetError(f"{file}: datasets: no folder of a labelled dataset exists: {paths or 'none is configured'}")
    content = read_model(production.file)
    try:
        old_sha256, problem = model_sha256(baseline.file), ""
    except ModelError as error:
        old_sha256, problem = None, str(error)
    return Acceptance(
        config=config,
        production=production,
        baseline=baseline,
        dataset=dataset,
        recorded=config.baseline,
        content=content.data,
        sha256=content.sha256,
        old_sha256=old_sha256,
        old_problem=problem,
        is_link=old_sha256 is not None and baseline.file.samefile(production.file),
    )


def _exists(root: DatasetRoot) -> bool:
    """Return whether a dataset can be used; that of a remote one is only known when it is read."""
    return isinstance(root, RemoteRoot) or root.is_dir()


def recorded_problem(plan: Acceptance) -> str:
    """Return why the recorded baseline has to be recorded again; empty if it is comparable here."""
    try:
        recorded = read_baseline(plan.recorded)
    except BaselineError as error:
        return str(error)
    if recorded.provenance is None or recorded.provenance.model_sha256 != plan.sha256:
        return f"{plan.recorded}: recorded from another model"
    limit = plan.config.limits.max_file_bytes
    spec = current_spec(
        model_sha256=plan.sha256,
        dataset_fingerprint=scan(plan.dataset.name, plan.dataset.path, max_file_bytes=limit).fingerprint,
        decision=applied_rule_of_file(plan.production.file, plan.production.decision.rule()).describe(),
        providers=plan.production.execution_providers(),
        dataset_generator=generator_version(plan.dataset.path),
    )
    found = obstacle(recorded, spec) or latency_obstacle(recorded, current_machine(spec.execution_provider))
    return "" if found is None else f"{plan.recorded}: {found[1]}"


def acceptance_requests(plan: Acceptance) -> tuple[RunRequest | None, RunRequest]:
    """Return the requests to evaluate the old and the new baseline; the old one is None if it cannot or need not be."""
    old = None
    if plan.old_sha256 is not None and not plan.same_model:
        old = replace(_request(plan, plan.baseline), expected_sha256=plan.old_sha256, latency_sample=0)
    return old, replace(_request(plan, plan.production), expected_sha256=plan.sha256)


def replace_baseline(plan: Acceptance, text: str) -> tuple[Path, ...]:
    """Replace the recorded baseline by `text`, and the baseline model if needed; return the written files.

    Raise StorageError if that fails; then both are unchanged. The model is replaced last; after an interrupt that comes
    later, both are new. If the process is killed in between, the old model remains the baseline, and `baseline show`
    reports that the recorded file is of another model.
    """
    model, recorded = plan.baseline.file, plan.recorded
    if not plan.replaces_model:
        write_text(recorded, text)
        return (recorded,)
    previous = _content(recorded)
    try:
        model.parent.mkdir(parents=True, exist_ok=True)
        # A link is replaced itself: its target may be the production model, or belong to another release.
        with replacing(model) as copy:
            copy.write(plan.content)
            copy.flush()
            # The second sync, just before the file is renamed, then has nothing left to write.
            os.fsync(copy.fileno())
            write_text(recorded, text)
    except BaseException as error:
        # An interrupt after the model was renamed comes too late: the new recorded file belongs to it.
        if _content(recorded) != previous and _content(model) != plan.content:
            _restore(recorded, previous)
        if isinstance(error, OSError):
            raise StorageError(f"{model}: cannot be written: {error.strerror or error}") from error
        raise
    return recorded, model


def _only_model(config: Config, role: Role, file: Path) -> ModelConfig:
    found = [model for model in config.models if model.role == role]
    if len(found) != 1:
        names = f": {', '.join(model.name for model in found)}" if found else ""
        raise ConfigError(f"{file}: models: expected exactly one model with role {role}, found {len(found)}{names}")
    return found[0]


def _request(plan: Acceptance, model: ModelConfig) -> RunRequest:
    request = run_request(plan.config, (model.name, plan.dataset.name), "command")
    assert request is not None
    # The cache belongs to the exporter, which may run as another user. Only latencies of the model itself are recorded.
    return replace(request, cache=None, baseline=None)


def _content(path: Path) -> bytes | None:
    """Return the content of a file; None if it does not exist. Raises StorageError."""
    try:
        return read_content(path, max_bytes=MAX_MODEL_BYTES).data
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StorageError(f"{path}: cannot be read: {error.strerror or error}") from error


def _restore(path: Path, content: bytes | None) -> None:
    try:
        if content is None:
            path.unlink()
        else:
            write_bytes(path, content)
    except (OSError, StorageError) as error:
        raise StorageError(f"{path}: cannot be restored, and does not match the baseline model: {error}") from error
