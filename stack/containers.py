"""The `setup` service of docker-compose.yml: prepare configurations, reference dataset and Grafana's password.

Containers reach each other by service name, so the loopback addresses of the shipped configurations are replaced.
"""

from __future__ import annotations

import secrets
import shutil
import sys
from pathlib import Path

from stack.errors import StackError
from stack.ports import LOOPBACK, SHIPPED
from stack.reference_dataset import make_reference_dataset
from starlight_exporter.asset_files import assets_folder
from starlight_exporter.cli.command import exit_code
from starlight_exporter.exit_codes import CHECK_FAILED, OK
from starlight_exporter.files import replacing

PASSWORD_FILE = "grafana_admin_password"


def main() -> int:
    """Prepare the volumes in `/starlight`, or in the folder given as first argument."""
    return exit_code("setup", lambda: prepare(Path(sys.argv[1] if len(sys.argv) > 1 else "/starlight")))


def prepare(volumes: Path) -> int:
    """Write everything that the other services need; return the exit code."""
    try:
        write_configurations(volumes / "config")
        # Grafana's user reads it; only containers see the volume.
        make_password(volumes / "secrets", mode=0o444)
        make_reference_dataset(volumes / "datasets" / "reference")
    except (StackError, OSError) as error:
        print(f"setup: {error}", file=sys.stderr)
        return CHECK_FAILED
    return OK


def write_configurations(folder: Path) -> None:
    """Write the configurations of Prometheus and Alertmanager with service names, and copy rules and templates."""
    shipped = assets_folder()
    prometheus = (shipped / "prometheus" / "prometheus.yml").read_text()
    # Links in alerts are opened in the reader's browser and stay on loopback.
    for service in ("exporter", "alertmanager"):
        port = SHIPPED.by_service()[service]
        prometheus = _replaced(prometheus, f"targets: [{LOOPBACK}:{port}]", f"targets: [{service}:{port}]")
    port = SHIPPED.notifications
    alertmanager = _replaced(
        (shipped / "alerting" / "alertmanager.yml").read_text(),
        f"url: http://{LOOPBACK}:{port}/",
        f"url: http://notifications:{port}/",
    )
    for name, text, copied in (
        ("prometheus", prometheus, shipped / "prometheus" / "rules"),
        ("alertmanager", alertmanager, shipped / "alerting" / "templates"),
    ):
        target = folder / name
        shutil.copytree(copied, target / copied.name, dirs_exist_ok=True)
        (target / f"{name}.yml").write_text(text)


def make_password(folder: Path, *, mode: int) -> None:
    """Generate Grafana's password once and write it to a file with these permissions."""
    file = folder / PASSWORD_FILE
    if not file.exists():
        folder.mkdir(parents=True, exist_ok=True)
        with replacing(file) as temporary:
            # Created with restricted permissions, so that no other user can open it before `mode` is set.
            temporary.touch(0o600, exist_ok=False)
            temporary.write_text(secrets.token_urlsafe(18))
            temporary.chmod(mode)


def _replaced(text: str, old: str, new: str) -> str:
    if old not in text:
        raise StackError(f"a shipped configuration does not contain {old!r}; adapt stack/containers.py")
    return text.replace(old, new)


if __name__ == "__main__":
    raise SystemExit(main())
