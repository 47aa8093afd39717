"""What the compose file's first service does before the others start: configurations, dataset, Grafana's password.

Containers reach each other by service name. The shipped configurations hold loopback addresses; here they are written
with names in their places into a volume, so that each fact stays in one file.
"""

from __future__ import annotations

import secrets
import shutil
import subprocess
import sys
from pathlib import Path

from stack.configuration import LOOPBACK, REFERENCE_RECIPE, SHIPPED
from stack.processes import StackError
from starlight_exporter.files import replacing

ROOT = Path(__file__).resolve().parent.parent
PASSWORD_FILE = "grafana_admin_password"


def main() -> int:
    """Prepare the volumes below the given folder; 1 with the reason if that fails."""
    volumes = Path(sys.argv[1]) if len(sys.argv) > 1 else Path("/starlight")
    try:
        write_configurations(volumes / "config")
        # Another container's user reads it; only containers see the volume.
        make_password(volumes / "secrets", mode=0o444)
        make_reference_dataset(volumes / "datasets" / "reference")
    except (StackError, OSError) as error:
        print(f"setup: {error}", file=sys.stderr)  # what a container says of itself
        return 1
    return 0


def write_configurations(folder: Path) -> None:
    """Prometheus' and Alertmanager's configurations with service names, beside their rules and templates."""
    prometheus = (ROOT / "prometheus" / "prometheus.yml").read_text()
    # Links in alerts are for a reader's browser and stay as they are; only what is scraped or told moves.
    for service in ("exporter", "alertmanager"):
        port = SHIPPED.named()[service]
        prometheus = _replaced(prometheus, f"targets: [{LOOPBACK}:{port}]", f"targets: [{service}:{port}]")
    port = SHIPPED.notifications
    alertmanager = _replaced(
        (ROOT / "alerting" / "alertmanager.yml").read_text(),
        f"url: http://{LOOPBACK}:{port}/",
        f"url: http://notifications:{port}/",
    )
    for name, text, beside in (
        ("prometheus", prometheus, ROOT / "prometheus" / "rules"),
        ("alertmanager", alertmanager, ROOT / "alerting" / "templates"),
    ):
        target = folder / name
        shutil.copytree(beside, target / beside.name, dirs_exist_ok=True)
        (target / f"{name}.yml").write_text(text)


def make_password(folder: Path, *, mode: int) -> None:
    """A password of its own for this installation's Grafana, made once, in a file with these permissions."""
    file = folder / PASSWORD_FILE
    if not file.exists():
        folder.mkdir(parents=True, exist_ok=True)
        with replacing(file) as temporary:
            # Created with restricted permissions, so that no other user can open it before `mode` is set.
            temporary.touch(0o600, exist_ok=False)
            temporary.write_text(secrets.token_urlsafe(18))
            temporary.chmod(mode)


def make_reference_dataset(folder: Path) -> None:
    """Make the reference dataset on the first start; a complete one is left as it is."""
    command = (sys.executable, str(ROOT / "scripts" / "make_dataset.py"), "--out", str(folder), *REFERENCE_RECIPE)
    if subprocess.run(command, check=False).returncode != 0:
        raise StackError("the reference dataset could not be made; the reason stands above")


def _replaced(text: str, old: str, new: str) -> str:
    if old not in text:
        raise StackError(f"a shipped configuration lacks {old!r}; stack/containers.py has to know its new form")
    return text.replace(old, new)


if __name__ == "__main__":
    raise SystemExit(main())
