"""The `setup` service of docker-compose.yml: prepare configurations, datasets and Grafana's password."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path
from typing import Final

from stack.configuration import read_settings, remote_write, write_settings
from stack.datasets import make_dataset, shipped_datasets
from stack.errors import StackError
from stack.passwords import GRAFANA_PASSWORD, make_password
from stack.ports import LOOPBACK, SHIPPED, move_addresses
from starlight_exporter.asset_files import assets_folder
from starlight_exporter.cli.command import exit_code
from starlight_exporter.config import load_config
from starlight_exporter.config_location import CONFIG_FILE
from starlight_exporter.errors import ConfigError, StorageError
from starlight_exporter.exit_codes import CHECK_FAILED, OK

REMOTE_WRITE: Final = "STARLIGHT_REMOTE_WRITE_URL"
"""Environment variable with the URL to which Prometheus writes; docker-compose.long-term.yml sets it."""


def main() -> int:
    """Prepare the volumes in `/starlight`, or in the folder given as first argument."""
    return exit_code("setup", lambda: prepare(Path(sys.argv[1] if len(sys.argv) > 1 else "/starlight")))


def prepare(volumes: Path) -> int:
    """Write everything that the other services need; return the exit code."""
    try:
        write_configurations(volumes / "generated", store=os.environ.get(REMOTE_WRITE))
        # Grafana's user reads it; only containers see the volume.
        make_password(volumes / "secrets" / GRAFANA_PASSWORD, mode=0o444)
        datasets = volumes / "datasets"
        for name in shipped_datasets(load_config(volumes / CONFIG_FILE), datasets):
            make_dataset(name, datasets / name)
    except (StackError, ConfigError, StorageError, OSError, ValueError) as error:
        print(f"setup: {error}", file=sys.stderr)
        return CHECK_FAILED
    return OK


def write_configurations(folder: Path, *, store: str | None = None) -> None:
    """Write the configurations of Prometheus and Alertmanager, and copies of rules, templates and dashboards.

    Services reach each other by name. Prometheus writes to the URL `store`.
    """
    shipped = assets_folder()
    for name, reached, source, copied in (
        ("prometheus", _names("exporter", "alertmanager"), "prometheus", "rules"),
        ("alertmanager", _names("notifications"), "alerting", "templates"),
    ):
        settings = move_addresses(read_settings(shipped / source / f"{name}.yml"), reached)
        if name == "prometheus" and store:
            settings["remote_write"] = [remote_write(store)]
        write_settings(folder / name / f"{name}.yml", f"{name}.yml", settings)
        _copy(shipped / source / copied, folder / name / copied)
    _copy(shipped / "grafana" / "dashboards", folder / "grafana" / "dashboards")


def _copy(source: Path, target: Path) -> None:
    # Not only added files: a rule that was removed must not stay active.
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target)


def _names(*services: str) -> dict[str, str]:
    """Return the address of each service inside its network by its shipped address on loopback."""
    shipped = SHIPPED.by_service()
    return {f"{LOOPBACK}:{shipped[name]}": f"{name}:{shipped[name]}" for name in services}


if __name__ == "__main__":
    raise SystemExit(main())
