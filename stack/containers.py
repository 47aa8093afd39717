"""The `setup` service of docker-compose.yml: prepare configurations, datasets and Grafana's password."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from stack.configuration import read_settings, write_dashboards, write_settings
from stack.datasets import DATASETS, make_dataset
from stack.errors import StackError
from stack.passwords import GRAFANA_PASSWORD, make_password
from stack.ports import LOOPBACK, SHIPPED, Ports, move_addresses
from starlight_exporter.asset_files import assets_folder
from starlight_exporter.cli.command import exit_code
from starlight_exporter.errors import StorageError
from starlight_exporter.exit_codes import CHECK_FAILED, OK


def main() -> int:
    """Prepare the volumes in `/starlight`, or in the folder given as first argument."""
    return exit_code("setup", lambda: prepare(Path(sys.argv[1] if len(sys.argv) > 1 else "/starlight")))


def prepare(volumes: Path) -> int:
    """Write everything that the other services need; return the exit code."""
    try:
        write_configurations(volumes / "generated", Ports.of({}, os.environ))
        # Grafana's user reads it; only containers see the volume.
        make_password(volumes / "secrets" / GRAFANA_PASSWORD, mode=0o444)
        for name in DATASETS:
            make_dataset(name, volumes / "datasets" / name)
    except (StackError, StorageError, OSError, ValueError) as error:
        print(f"setup: {error}", file=sys.stderr)
        return CHECK_FAILED
    return OK


def write_configurations(folder: Path, ports: Ports) -> None:
    """Write the configurations of Prometheus, Alertmanager and Grafana, with copies of rules, templates and dashboards.

    Services reach each other by name. Links in alerts and dashboards are opened in the reader's browser: they have the
    published ports on loopback.
    """
    shipped = assets_folder()
    prometheus = read_settings(shipped / "prometheus" / "prometheus.yml")
    labels = move_addresses(prometheus["global"]["external_labels"], ports.addresses())
    prometheus = move_addresses(prometheus, _names("exporter", "alertmanager"))
    prometheus["global"]["external_labels"] = labels
    alertmanager = move_addresses(read_settings(shipped / "alerting" / "alertmanager.yml"), _names("notifications"))
    for name, settings, copied in (
        ("prometheus", prometheus, shipped / "prometheus" / "rules"),
        ("alertmanager", alertmanager, shipped / "alerting" / "templates"),
    ):
        target = folder / name / copied.name
        # Not only added files: a rule that was removed must not stay active.
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(copied, target)
        write_settings(folder / name / f"{name}.yml", f"{name}.yml", settings)
    write_dashboards(shipped / "grafana" / "dashboards", folder / "grafana" / "dashboards", ports)


def _names(*services: str) -> dict[str, str]:
    """Return the address of each service inside its network by its shipped address on loopback."""
    shipped = SHIPPED.by_service()
    return {f"{LOOPBACK}:{shipped[name]}": f"{name}:{shipped[name]}" for name in services}


if __name__ == "__main__":
    raise SystemExit(main())
