"""The exporter process while clients hold all of its descriptors; scrapes next to slow clients: `attacks`."""

from __future__ import annotations

import socket
import time
from contextlib import ExitStack
from pathlib import Path

import httpx
import psutil
import pytest

from support.exporter import Exporter, write_config

pytestmark = pytest.mark.integration

IDLE = b"GET /-/healthy HTTP/1.1\r\nHost: localhost\r\n\r\n"


def test_exhausted_descriptors_neither_stop_the_exporter_nor_keep_it_busy(tmp_path: Path) -> None:
    with Exporter(write_config(tmp_path)) as exporter, ExitStack() as clients:
        process = psutil.Process(exporter.process.pid)
        limits = process.rlimit(psutil.RLIMIT_NOFILE)
        process.rlimit(psutil.RLIMIT_NOFILE, (process.num_fds() + 20, limits[1]))
        for _ in range(60):
            connection = clients.enter_context(socket.create_connection(("127.0.0.1", exporter.port), timeout=60))
            connection.sendall(IDLE)
        exporter.wait_until(lambda: "connection not accepted" in exporter.log.read_text(), "exhaustion logged")
        for _ in range(5):
            assert httpx.get(f"{exporter.url}/-/healthy", timeout=30).status_code == 200
        began, cpu = time.monotonic(), sum(process.cpu_times()[:2])
        time.sleep(2.0)
        assert sum(process.cpu_times()[:2]) - cpu < 0.8 * (time.monotonic() - began)
        assert exporter.log.read_text().count("connection not accepted") <= 2
