"""Rules, dashboards, runbooks, templates and deployment files: in the wheel, or in the repository of a checkout."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Final

EXPORTED: Final[Mapping[str, str]] = {
    "prometheus.yml": "prometheus",
    "rules/*.yml": "prometheus",
    "alertmanager.yml": "alerting",
    "templates/*.tmpl": "alerting",
    "runbooks/*.md": "alerting",
    "dashboards/*.json": "grafana",
    "provisioning/*/*.yml": "grafana",
    "systemd/*": "deploy",
    "nginx/*.conf": "deploy",
    "victoria-metrics/*.yml": "deploy",
    "helm/*/*": "deploy",
    "helm/*/templates/*": "deploy",
    # Links to the rules and dashboards in a checkout.
    "helm/*/files/rules/*.yml": "deploy",
    "helm/*/files/dashboards/*.json": "deploy",
}
"""Pattern → folder; pyproject.toml includes the same files in the wheel."""


def assets_folder() -> Path:
    """Return the folder that contains `prometheus/`, `alerting/`, `grafana/` and `deploy/`."""
    package = Path(str(files("starlight_exporter")))
    packaged = package / "assets"
    return packaged if packaged.is_dir() else package.parents[1]


def runbooks_folder() -> Path:
    """Return the folder of the runbooks of the shipped alerts."""
    return assets_folder() / "alerting" / "runbooks"


def exported_files() -> Iterator[Path]:
    """Yield the paths of all asset files, relative to `assets_folder()`."""
    root = assets_folder()
    for pattern, folder in EXPORTED.items():
        yield from (file.relative_to(root) for file in sorted((root / folder).glob(pattern)) if file.is_file())
