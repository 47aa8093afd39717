"""Grafana as a process, where it is installed, with the same provisioning as in containers."""

from __future__ import annotations

import shutil
from pathlib import Path

from stack.configuration import LOOPBACK, Ports
from stack.containers import PASSWORD_FILE, make_password
from stack.processes import Part

_HOMES = (Path("/usr/share/grafana"), Path("/opt/grafana"))


def program() -> str | None:
    """Where `grafana` is, None where it is not installed."""
    return shutil.which("grafana")


def part(root: Path, data: Path, ports: Ports) -> Part | None:
    """Grafana's process, None where there is no `grafana` on the PATH."""
    found = program()
    if found is None:
        return None
    make_password(data / "secrets", mode=0o600)
    # A tarball's own folder, else where the packages put it.
    beside = Path(found).resolve().parents[1]
    home = next((place for place in (beside, *_HOMES) if (place / "public").is_dir()), beside)
    environment = {
        "GF_SERVER_HTTP_ADDR": LOOPBACK,
        "GF_SERVER_HTTP_PORT": str(ports.grafana),
        "GF_PATHS_DATA": str(data / "grafana"),
        "GF_PATHS_LOGS": str(data / "logs"),
        "GF_PATHS_PROVISIONING": str(root / "grafana" / "provisioning"),
        "GF_SECURITY_ADMIN_PASSWORD__FILE": str(data / "secrets" / PASSWORD_FILE),
        "GF_USERS_ALLOW_SIGN_UP": "false",
        "GF_USERS_DEFAULT_THEME": "dark",
        "GF_AUTH_ANONYMOUS_ENABLED": "false",
        "GF_ANALYTICS_REPORTING_ENABLED": "false",
        "GF_ANALYTICS_CHECK_FOR_UPDATES": "false",
        "GF_ANALYTICS_CHECK_FOR_PLUGIN_UPDATES": "false",
        "GF_SNAPSHOTS_EXTERNAL_ENABLED": "false",
        "GF_SECURITY_DISABLE_GRAVATAR": "true",
        "GF_PLUGINS_PLUGIN_ADMIN_ENABLED": "false",
        "GF_PLUGINS_PREINSTALL_AUTO_UPDATE": "false",
        "GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH": str(root / "grafana" / "dashboards" / "overview.json"),
        "STARLIGHT_PROMETHEUS_URL": f"http://{LOOPBACK}:{ports.prometheus}",
        "STARLIGHT_ALERTMANAGER_URL": f"http://{LOOPBACK}:{ports.alertmanager}",
        "STARLIGHT_DASHBOARDS": str(root / "grafana" / "dashboards"),
    }
    return Part(
        name="grafana",
        command=(
            "env",
            *(f"{name}={value}" for name, value in environment.items()),
            found,
            "server",
            f"--homepath={home}",
        ),
        ready_url=f"http://{LOOPBACK}:{ports.grafana}/api/health",
        page_url=f"http://{LOOPBACK}:{ports.grafana}  (admin, password in {data / 'secrets' / PASSWORD_FILE})",
    )
