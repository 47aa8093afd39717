"""Scrapes of the exporter process while slow clients hold all connections, and its resources afterwards."""

from __future__ import annotations

import http.client
import ssl
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Self

import psutil
import pytest

from support.certificates import Authority
from support.exporter import Exporter, write_config
from support.slow_clients import (
    HALF_OPEN_TLS,
    IDLE,
    NOT_READING,
    PARTIAL_HEADS,
    SLOW_BODIES,
    Attack,
    SlowClients,
)
from support.waiting import TIMEOUT, wait_until

pytestmark = pytest.mark.integration

SCRAPES = 200
P99_SECONDS = 5.0
"""Generous, because tests share the machine; the measured value is printed."""


class TlsExporter(Exporter):
    """An exporter with TLS."""

    def __init__(self, config: Path, web_config: Path, trusted: ssl.SSLContext) -> None:
        self._trusted = trusted
        super().__init__(config, flags=[f"--web.config.file={web_config}"])

    def wait_ready(self, timeout: float = TIMEOUT) -> Self:
        def ready() -> bool:
            assert self.process.poll() is None, self.log.read_text()
            try:
                connection = http.client.HTTPSConnection("127.0.0.1", self.port, timeout=5, context=self._trusted)
                return get(connection, "/-/healthy") == 200
            except OSError:
                return False

        wait_until(ready, "server ready", timeout=timeout)
        return self


def get(connection: http.client.HTTPConnection, path: str) -> int:
    """Return the status of a request on its own connection."""
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        response.read()
        return response.status
    finally:
        connection.close()


def scrape_times(connect: Callable[[], http.client.HTTPConnection]) -> list[float]:
    """Return the duration of each scrape in seconds, sorted; all must succeed."""
    times = []
    for _ in range(SCRAPES):
        began = time.monotonic()
        assert get(connect(), "/metrics") == 200
        times.append(time.monotonic() - began)
        time.sleep(0.01)
    return sorted(times)


def p99(times: list[float]) -> float:
    return times[int(len(times) * 0.99) - 1]


def report(name: str, times: list[float], clients: SlowClients) -> None:
    print(
        f"{name}: {len(times)} scrapes, median {statistics.median(times) * 1000:.1f} ms,"
        f" p99 {p99(times) * 1000:.1f} ms, max {times[-1] * 1000:.1f} ms; {clients.opened} connections opened"
    )
    assert p99(times) < P99_SECONDS


def attack(exporter: Exporter, attacks: list[Attack], tls: ssl.SSLContext | None) -> None:
    """Attack the exporter; scrapes and health checks must respond, and its resources be released."""

    def connect() -> http.client.HTTPConnection:
        if tls is None:
            return http.client.HTTPConnection("127.0.0.1", exporter.port, timeout=30)
        return http.client.HTTPSConnection("127.0.0.1", exporter.port, timeout=30, context=tls)

    process = psutil.Process(exporter.process.pid)
    undisturbed = scrape_times(connect)
    print(f"undisturbed: median {statistics.median(undisturbed) * 1000:.1f} ms, p99 {p99(undisturbed) * 1000:.1f} ms")
    descriptors, threads = process.num_fds(), process.num_threads()
    with SlowClients(exporter.port, attacks, tls) as clients:
        assert get(connect(), "/-/healthy") == 200
        assert get(connect(), "/") == 200
        report(f"{'HTTP' if tls is None else 'TLS'} with slow clients", scrape_times(connect), clients)
        assert process.num_fds() < descriptors + 600

    def released() -> bool:
        assert get(connect(), "/metrics") == 200
        return process.num_fds() <= descriptors + 4 and process.num_threads() <= threads + 4

    wait_until(released, "descriptors and threads released", interval=0.5)


def test_scrapes_respond_while_slow_clients_hold_connections(tmp_path: Path) -> None:
    config = write_config(tmp_path)
    with Exporter(config) as exporter:
        exporter.wait_for_value(1, "exporter_config_last_reload_successful")
        attack(exporter, [PARTIAL_HEADS, SLOW_BODIES, NOT_READING, IDLE], None)


def test_scrapes_respond_while_slow_clients_hold_tls_connections(tmp_path: Path) -> None:
    authority = Authority("tests")
    authority.issue(tmp_path, "server")
    trusted = ssl.create_default_context(cafile=str(authority.write(tmp_path / "ca.crt")))
    web_config = tmp_path / "web.yml"
    web_config.write_text("tls_server_config: {cert_file: server.crt, key_file: server.key}")
    few = [Attack(one.name, 100, one.sent) for one in (PARTIAL_HEADS, SLOW_BODIES, NOT_READING, IDLE)]
    with TlsExporter(write_config(tmp_path), web_config, trusted) as exporter:
        attack(exporter, [HALF_OPEN_TLS, *few], trusted)


def test_exhausted_descriptors_neither_stop_the_exporter_nor_keep_it_busy(tmp_path: Path) -> None:
    with Exporter(write_config(tmp_path)) as exporter:
        process = psutil.Process(exporter.process.pid)
        limits = process.rlimit(psutil.RLIMIT_NOFILE)
        process.rlimit(psutil.RLIMIT_NOFILE, (process.num_fds() + 20, limits[1]))
        with SlowClients(exporter.port, [Attack("idle", 60, IDLE.sent)]):
            exporter.wait_until(lambda: "connection not accepted" in exporter.log.read_text(), "exhaustion logged")
            for _ in range(5):
                connection = http.client.HTTPConnection("127.0.0.1", exporter.port, timeout=30)
                assert get(connection, "/-/healthy") == 200
            began, cpu = time.monotonic(), sum(process.cpu_times()[:2])
            time.sleep(2.0)
            assert sum(process.cpu_times()[:2]) - cpu < 0.8 * (time.monotonic() - began)
        assert exporter.log.read_text().count("connection not accepted") <= 2
