"""A real VictoriaMetrics, with the flags of deploy/victoria-metrics."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import httpx

from support.servers import Prometheus, QueryServer, free_port, newer_program, program, run_tool

DEDUPLICATION = "-dedup.minScrapeInterval=1ms"
RETENTION = "-retentionPeriod=10y"
VMCTL = ("--disable-progress-bar",)
"""It would require a terminal."""


class VictoriaMetrics(QueryServer):
    """A VictoriaMetrics with its own data folder. Ready on return."""

    def __init__(
        self, data: Path, *, log: Path, flags: Sequence[str] = (DEDUPLICATION, RETENTION), port: int | None = None
    ) -> None:
        port = port or free_port()
        command = [
            program("victoria-metrics"),
            f"-storageDataPath={data}",
            f"-httpListenAddr=127.0.0.1:{port}",
            # The rest of the machine is not the test's.
            "-memory.allowedBytes=256MB",
            *flags,
        ]
        super().__init__(command, port=port, ready_path="/health", log=log)
        self.wait_ready()

    def import_file(self, file: Path) -> None:
        """Import an export of the history with the command of docs/long-term-storage.md."""
        command = ["curl", "--fail", "--silent", "--show-error", "--request", "POST", "--upload-file", str(file)]
        code, output = run_tool([*command, self.import_url])
        assert code == 0, output

    @property
    def import_url(self) -> str:
        """The URL that takes samples in the text format of Prometheus."""
        return f"{self.url}/api/v1/import/prometheus"

    def copy_scrapes(self, prometheus: Prometheus, data: Path) -> None:
        """Copy all samples of a Prometheus with this data folder and the flag `--web.enable-admin-api`.

        Not with vmctl 1.79, which can end before it has sent the last series.
        """
        answer = httpx.post(f"{prometheus.url}/api/v1/admin/tsdb/snapshot", timeout=60.0).raise_for_status().json()
        snapshot = data / "snapshots" / answer["data"]["name"]
        flags = [f"--prom-snapshot={snapshot}", f"--vm-addr={self.url}"]
        code, output = run_tool([newer_program("vmctl"), "prometheus", "-s", *VMCTL, *flags], timeout=300.0)
        assert code == 0, output
        self.flush()

    def flush(self) -> None:
        """Make all received samples visible to queries."""
        httpx.get(f"{self.url}/internal/force_flush", timeout=30.0).raise_for_status()
