"""Generated passwords, each in a file that is created once."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Final

from starlight_exporter.files import open_output

GRAFANA_PASSWORD: Final = "grafana_admin_password"
ALERTMANAGER_PASSWORD: Final = "alertmanager_password"


def make_password(file: Path, *, mode: int) -> str:
    """Return the password in a file; generate it with these permissions if missing. Raises StorageError and OSError."""
    if not file.exists():
        # Created with restricted permissions, so that no other user can open it before `mode` is set.
        with open_output(file, mode=0o600) as output:
            os.fchmod(output.fileno(), mode)
            output.write(secrets.token_urlsafe(18).encode())
    return file.read_text(encoding="utf-8")
