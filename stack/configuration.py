"""Configuration files of one run: the shipped ones with other addresses, models and datasets.

They are written to `data/run/`; the shipped files are not modified.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import bcrypt
import yaml

from stack.errors import StackError
from stack.ports import Ports, move_addresses
from starlight_exporter.config import load_config
from starlight_exporter.files import write_text

_USER = "starlight"


def write_prometheus(root: Path, run: Path, ports: Ports) -> Path:
    """Write the shipped prometheus.yml with the addresses of this run and the shipped rule files.

    The rule files are listed one by one, relative to the file: Prometheus takes `[`, `*` and `?` in an absolute path
    for a pattern, and then loads nothing.
    """
    settings = move_addresses(read_settings(root / "prometheus" / "prometheus.yml"), ports.addresses())
    settings["rule_files"] = _linked(run / "rules", root / "prometheus" / "rules", "*.yml")
    return write_settings(run / "prometheus.yml", "prometheus.yml", settings)


def remote_write(url: str) -> dict[str, Any]:
    """Return an entry of `remote_write` that sends everything that the dashboards query to a store.

    Samples wait for one second at most (5 s by default): those that were not sent are lost to the store when
    Prometheus is killed, because it sends only what it scrapes after its restart.
    """
    names = "up|ALERTS.*|(process|scrape|starlight)_.+|(dataset|model)[a-z_]*:.+"
    return {
        "url": url,
        "write_relabel_configs": [{"source_labels": ["__name__"], "regex": names, "action": "keep"}],
        "queue_config": {"batch_send_deadline": "1s"},
    }


def write_alertmanager(root: Path, run: Path, ports: Ports) -> Path:
    """Write the shipped alertmanager.yml with the addresses of this run and the shipped templates, as the rules."""
    settings = move_addresses(read_settings(root / "alerting" / "alertmanager.yml"), ports.addresses())
    settings["templates"] = _linked(run / "templates", root / "alerting" / "templates", "*.tmpl")
    return write_settings(run / "alertmanager.yml", "alertmanager.yml", settings)


@dataclass(frozen=True, slots=True)
class Access:
    """Configuration files for basic authentication: of the server, and of its clients."""

    server: Path
    client: Path


def write_access(run: Path, password: str, password_file: Path) -> Access:
    """Write the files for Alertmanager and its clients, which read the password from its file."""
    hashed = bcrypt.hashpw(password.encode(), bcrypt.gensalt(10)).decode()
    users = {"basic_auth_users": {_USER: hashed}}
    client = {"basic_auth": {"username": _USER, "password_file": str(password_file)}}
    return Access(
        write_settings(run / "alertmanager-web.yml", "a generated password", users),
        write_settings(run / "alertmanager-client.yml", "a generated password", client),
    )


def write_exporter(
    config: Path, run: Path, *, dataset: Path | None, model: Path | None, without: Collection[str] = ()
) -> Path:
    """Write the exporter configuration with another dataset or production model, or without some datasets.

    Raises ConfigError.
    """
    checked = load_config(config)
    settings = yaml.safe_load(config.read_text(encoding="utf-8"))
    # The validated configuration has absolute paths and all defaults.
    for entry, known in zip(settings["models"], checked.models, strict=True):
        entry["file"] = str(known.file if model is None or known.role != "production" else model.resolve())
        if known.training_log is not None:
            entry["training_log"] = str(known.training_log)
    if dataset is not None:
        settings["datasets"] = [{"name": _dataset_name(dataset), "path": str(dataset.resolve())}]
    else:
        settings["datasets"] = [
            given | {"path": str(known.path)}
            for given, known in zip(settings["datasets"], checked.datasets, strict=True)
            if known.name not in without
        ]
    if checked.research is not None:
        settings["research"]["models_dir"] = str(checked.research.models_dir)
    if checked.baseline is not None:
        settings["baseline"] = str(checked.baseline)
    settings["paths"] = {name: str(path) for name, path in checked.paths if path is not None}
    written = write_settings(run / "starlight.yml", config.name, settings)
    # With another dataset the configuration can become invalid: the exporter's files may be inside its folder.
    load_config(written)
    return written


def _dataset_name(folder: Path) -> str:
    """Return a folder's name as a dataset name: lower-case letters, digits, `_` and `-`."""
    name = "".join(c if c.isalnum() and c.isascii() else "-" for c in folder.resolve().name.lower()).strip("-")
    return name or "dataset"


def _linked(link: Path, folder: Path, pattern: str) -> list[str]:
    """Link to a folder, and return its files as patterns that match only themselves, relative to the link's folder."""
    try:
        link.parent.mkdir(parents=True, exist_ok=True)
        link.unlink(missing_ok=True)
        link.symlink_to(folder.absolute(), target_is_directory=True)
    except OSError as error:
        raise StackError(f"{link}: cannot be written: {error.strerror or error}") from error
    names = sorted(file.name for file in folder.glob(pattern))
    return [f"{link.name}/" + re.sub(r"([*?[\\])", r"\\\1", name) for name in names]


def read_settings(file: Path) -> Any:
    """Return the content of a YAML file of this repository."""
    return yaml.safe_load(file.read_text(encoding="utf-8"))


def write_settings(file: Path, source: str, settings: object) -> Path:
    """Write settings as YAML; `source` is the name of the shipped file."""
    header = f"# Written by stack from {source}; changed at every start.\n"
    write_text(file, header + yaml.safe_dump(settings, sort_keys=False, allow_unicode=True))
    return file
