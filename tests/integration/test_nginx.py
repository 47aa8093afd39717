"""The configuration for nginx: TLS, users, and the exporter and Prometheus below prefixes."""

from __future__ import annotations

import ssl
import subprocess
from pathlib import Path

import httpx
import pytest

from support.certificates import Authority
from support.documents import PRODUCTION, command
from support.exporter import Exporter, write_config
from support.servers import Prometheus, Server, free_port, program
from support.units import DEPLOY

pytestmark = pytest.mark.integration

HOST = "monitor.example.org"
URL = f"https://{HOST}"
SNI = {"sni_hostname": HOST}
MAIN = """
daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log stderr; {user}
events {{}}
http {{
  access_log off; {temporary}
  server {{ listen 127.0.0.1:{plain}; return 200; }}
  include {folder}/starlight.conf;
}}
"""


class Nginx(Server):
    """nginx with the shipped configuration, with other ports and files."""

    def __init__(self, folder: Path, ports: dict[int, int]) -> None:
        authority = Authority("tests")
        self.authority = authority.write(folder / "ca.crt")
        certificate, key = authority.issue(folder, "nginx", host=HOST)
        line = command(PRODUCTION, "printf").replace("openssl passwd -6", "openssl passwd -6 -stdin")
        users = folder / "users"
        line = line.replace("/etc/nginx/starlight.htpasswd", str(users))
        subprocess.run(["bash", "-c", line], input="secret\n", text=True, check=True)
        text = (DEPLOY / "nginx" / "starlight.conf").read_text()
        for old, new in (
            (f"/etc/nginx/tls/{HOST}.pem", str(certificate)),
            (f"/etc/nginx/tls/{HOST}.key", str(key)),
            ("/etc/nginx/starlight.htpasswd;", f"{users};"),
            ("listen 443", f"listen 127.0.0.1:{ports[443]}"),
            *((f"http://127.0.0.1:{port};", f"http://127.0.0.1:{ports[port]};") for port in (9877, 9090)),
        ):
            assert old in text, old
            text = text.replace(old, new)
        (folder / "starlight.conf").write_text(text)
        temporary = " ".join(
            f"{name}_temp_path {folder}/{name};" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        )
        plain = free_port()
        # Its workers read files of the tests.
        user = "user root;" if Path("/proc/self").stat().st_uid == 0 else ""
        main = folder / "nginx.conf"
        main.write_text(MAIN.format(folder=folder, user=user, temporary=temporary, plain=plain))
        command_line = [program("nginx"), "-c", str(main), "-p", str(folder), "-e", "stderr"]
        super().__init__(command_line, port=plain, ready_path="/", log=folder / "nginx.log")
        self.wait_ready()


def test_exporter_and_prometheus_below_one_name(tmp_path: Path) -> None:
    ports = {port: free_port() for port in (443, 9877, 9090)}
    folder = tmp_path / "nginx"
    folder.mkdir()
    config = tmp_path / "prometheus.yml"
    config.write_text("global: {}\n")
    flags = (
        f"--web.external-url={URL}/starlight/",
        f"--web.prometheus-url={URL}/prometheus/",
        "--web.enable-lifecycle",
    )
    external = [f"--web.external-url={URL}/prometheus/"]
    with (
        Nginx(folder, ports) as nginx,
        # Ready below the prefix.
        PrefixedExporter(write_config(tmp_path), flags=flags, port=ports[9877]),
        PrefixedPrometheus(config, tmp_path / "tsdb", log=tmp_path / "log", flags=external, port=ports[9090]),
        httpx.Client(
            base_url=f"https://127.0.0.1:{ports[443]}",
            headers={"Host": HOST},
            auth=("NAME", "secret"),
            verify=ssl.create_default_context(cafile=str(nginx.authority)),
        ) as client,
    ):

        def get(path: str, **headers: str) -> httpx.Response:
            return client.get(path, headers=headers, extensions=SNI)

        assert client.get("/starlight/", auth=("NAME", "wrong"), extensions=SNI).status_code == 401
        assert "starlight_exporter_build_info" in get("/starlight/metrics").text
        assert get("/starlight/", Host="other.example").status_code == 421
        status = get("/starlight/", Accept="text/html")
        assert status.status_code == 200
        assert 'href="/starlight/static/style.css"' in status.text
        runbook = get("/starlight/runbooks/StarlightExporterDown.md", Accept="text/html").text
        assert f"{URL}/starlight/metrics" in runbook
        assert f"{URL}/prometheus" in runbook
        assert get("/prometheus/api/v1/status/buildinfo").json()["status"] == "success"
        reload = "/starlight/-/reload"
        assert client.post(reload, headers={"Origin": URL}, extensions=SNI).status_code == 200
        assert client.post(reload, headers={"Origin": "https://other.example"}, extensions=SNI).status_code == 403


class PrefixedExporter(Exporter):
    """An exporter below /starlight/."""

    def wait_ready(self, timeout: float = 60.0) -> PrefixedExporter:
        """Wait for the health check below the prefix."""
        self._ready_path = "/starlight/-/healthy"
        return super().wait_ready(timeout)


class PrefixedPrometheus(Prometheus):
    """A Prometheus below /prometheus/."""

    def wait_ready(self, timeout: float = 60.0) -> PrefixedPrometheus:
        """Wait for the readiness check below the prefix."""
        self._ready_path = "/prometheus/-/ready"
        return super().wait_ready(timeout)
