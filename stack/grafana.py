"""Grafana as a process, if it is installed, with the same provisioning as in containers."""

from __future__ import annotations

import shutil
from pathlib import Path

from stack.passwords import GRAFANA_PASSWORD, make_password
from stack.ports import LOOPBACK, Ports
from stack.processes import Service

_HOMES = (Path("/usr/share/grafana"), Path("/opt/grafana"))


def program() -> str | None:
    """Return the path of `grafana`, or None if it is not installed."""
    return shutil.which("grafana")


def service(root: Path, data: Path, ports: Ports) -> Service | None:
    """Return Grafana as a service, or None if it is not installed."""
    found = program()
    if found is None:
        return None
    make_password(data / "secrets" / GRAFANA_PASSWORD, mode=0o600)
    dashboards = root / "grafana" / "dashboards"
    # The folder of a tarball, or where packages install it.
    parent = Path(found).resolve().parents[1]
    home = next((folder for folder in (parent, *_HOMES) if (folder / "public").is_dir()), parent)
    environment = {
        "GF_SERVER_HTTP_ADDR": LOOPBACK,
        "GF_SERVER_HTTP_PORT": str(ports.grafana),
        "GF_PATHS_DATA": str(data / "grafana"),
        "GF_PATHS_LOGS": str(data / "logs"),
        "GF_PATHS_PROVISIONING": str(root / "grafana" / "provisioning"),
        "GF_SECURITY_ADMIN_PASSWORD__FILE": str(data / "secrets" / GRAFANA_PASSWORD),
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
        "GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH": str(dashboards / "overview.json"),
        "STARLIGHT_PROMETHEUS_URL": f"http://{LOOPBACK}:{ports.prometheus}",
        "STARLIGHT_ALERTMANAGER_URL": f"http://{LOOPBACK}:{ports.alertmanager}",
        "STARLIGHT_DASHBOARDS": str(dashboards),
    }
    return Service(
        name="grafana",
        command=(
            "env",
            *(f"{name}={value}" for name, value in environment.items()),
            found,
            "server",
            f"--homepath={home}",
        ),
        ready_url=f"http://{LOOPBACK}:{ports.grafana}/api/health",
        location=f"http://{LOOPBACK}:{ports.grafana}  (admin, password in {data / 'secrets' / GRAFANA_PASSWORD})",
    )
