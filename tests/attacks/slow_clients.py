"""Slow clients and many scrapes during an evaluation: every scrape is answered, and quickly."""

from __future__ import annotations

import http.client
import math
import socket
import ssl
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import psutil
import yaml

from attacks.outcome import Outcome, Requirement, none_of
from support.certificates import Authority
from support.exporter import exporter_command, write_config
from support.images import write_dataset
from support.models import write_random_model
from support.servers import Server, free_port
from support.waiting import TIMEOUT, wait_until

Opening = tuple[bytes, bool]
"""What a slow client sends first, and whether it reads the response."""

KINDS: Final[tuple[Opening, ...]] = (
    *((b"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: ", False),) * 3,
    *((b"POST /api/v1/evaluations HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100000\r\n\r\nabc", False),) * 3,
    *((b"GET /-/healthy HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", True),) * 3,
    (b"GET /metrics HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" * 40, False),
)
"""Partial headers, slow bodies, idle connections, and more responses than the buffers hold that are not read."""
HALF_OPEN_TLS: Final[tuple[Opening, ...]] = ((b"", False), (b"\x16\x03\x01\x02\x00\x01\x00", False))


@dataclass(frozen=True, slots=True)
class Scrapes:
    """The scrapes of one period: seconds of each, and those that were not answered with 200."""

    seconds: tuple[float, ...]
    failed: tuple[str, ...]
    period: float

    @property
    def p99(self) -> float:
        """The 99th percentile in milliseconds."""
        ordered = sorted(self.seconds)
        return 1000 * ordered[math.ceil(0.99 * len(ordered)) - 1] if ordered else math.inf

    def __str__(self) -> str:
        return f"{len(self.seconds):,} scrapes, {len(self.seconds) / self.period:.0f}/s, p99 {self.p99:.0f} ms"


class SlowClients:
    """Connections that send a byte every few seconds and are opened again when the server closes them."""

    def __init__(self, port: int, kinds: tuple[Opening, ...], count: int) -> None:
        self._address = ("127.0.0.1", port)
        self._clients = [
            (kinds[number % len(kinds)], self._open(kinds[number % len(kinds)])) for number in range(count)
        ]
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._keep_open, daemon=True)
        self.reopened = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stopped.set()
        self._thread.join()
        for _, client in self._clients:
            client.close()

    def _open(self, opening: Opening) -> socket.socket:
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.settimeout(1.0)
        with suppress(OSError):
            client.connect(self._address)
            client.sendall(opening[0])
            if opening[1]:
                client.recv(4096)
        client.setblocking(False)
        return client

    def _keep_open(self) -> None:
        round_number = 0
        while not self._stopped.wait(1.0):
            round_number += 1
            for number, (opening, client) in enumerate(self._clients):
                if self._stopped.is_set():
                    return
                if self._is_closed(client, opening, round_number):
                    client.close()
                    self._clients[number] = (opening, self._open(opening))
                    self.reopened += 1

    @staticmethod
    def _is_closed(client: socket.socket, opening: Opening, round_number: int) -> bool:
        try:
            if not opening[1] and round_number % 3 == 0 and len(opening[0]) < 1000:
                client.send(b"x")
            # Responses that the client does not read stay in the buffers.
            return client.recv(1, socket.MSG_PEEK) == b""
        except BlockingIOError:
            return False
        except OSError:
            return True


class _Target(Server):
    """The exporter with plain HTTP or TLS, and a scraper that keeps a connection."""

    def __init__(self, config: Path, tls: Path | None) -> None:
        port = free_port()
        flags = ["--web.enable-lifecycle"] + ([] if tls is None else [f"--web.config.file={tls}"])
        super().__init__(
            exporter_command(config, port, *flags),
            port=port,
            ready_path="/-/healthy",
            log=config.parent / f"exporter-{port}.log",
        )
        self._tls = tls is not None

        def healthy() -> bool:
            with suppress(OSError, http.client.HTTPException):
                return self.get("/-/healthy")[0] == 200
            return False

        wait_until(healthy, lambda: self.log.read_text()[-3000:])

    def connect(self) -> http.client.HTTPConnection:
        """Return a new connection, opened with the first request."""
        if not self._tls:
            return http.client.HTTPConnection("127.0.0.1", self.port, timeout=TIMEOUT)
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        return http.client.HTTPSConnection("127.0.0.1", self.port, timeout=30.0, context=context)

    def get(self, path: str, method: str = "GET") -> tuple[int, str]:
        """Return status and text of a response on a connection of its own."""
        connection = self.connect()
        try:
            connection.request(method, path)
            response = connection.getresponse()
            return response.status, response.read().decode()
        finally:
            connection.close()

    def seconds_of_scrape(self) -> float:
        """Return the duration of one scrape; infinity if it is refused."""
        began = time.monotonic()
        with suppress(OSError, http.client.HTTPException):
            if self.get("/metrics")[0] == 200:
                return time.monotonic() - began
        return math.inf

    def finished(self) -> float:
        """Return the number of successful evaluations."""
        text = self.get("/metrics?name[]=starlight_evaluations_total")[1]
        return sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if 'outcome="success"' in line)

    def evaluating(self) -> bool:
        """Return whether an evaluation is running or queued."""
        text = self.get("/metrics?name[]=starlight_evaluation_in_progress&name[]=starlight_evaluations_queued")[1]
        return any(line.endswith(" 1.0") for line in text.splitlines())

    def evaluate(self) -> None:
        """Request an evaluation."""
        assert self.get("/api/v1/evaluations", "POST")[0] == 202


def scrape(target: _Target, *, per_second: float, seconds: float, threads: int) -> Scrapes:
    """Scrape at this rate; every second thread opens a connection for each scrape, the others keep theirs."""
    times: list[float] = []
    failed: list[str] = []
    began = time.monotonic()
    end = began + seconds

    def work(number: int) -> None:
        connection = target.connect()
        due = began + number / per_second
        while due < end:
            time.sleep(max(0.0, due - time.monotonic()))
            start = time.monotonic()
            try:
                connection.request("GET", "/metrics")
                response = connection.getresponse()
                response.read()
                if response.status != 200:
                    failed.append(str(response.status))
                if number % 2:
                    connection.close()
            except (OSError, http.client.HTTPException) as error:
                failed.append(type(error).__name__)
                connection.close()
            times.append(time.monotonic() - start)
            due = max(due + threads / per_second, time.monotonic() - 1.0)
        connection.close()

    running = [threading.Thread(target=work, args=(number,), daemon=True) for number in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    return Scrapes(tuple(times), tuple(failed), time.monotonic() - began)


class _Evaluations:
    """Evaluations that follow each other until the end of the block."""

    def __init__(self, target: _Target) -> None:
        self._target = target
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.running = 0
        self.checked = 0

    def __enter__(self) -> Self:
        self._target.evaluate()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stopped.set()
        self._thread.join()

    def requirement(self, prefix: str) -> Requirement:
        """Return that an evaluation was running or queued most of the time."""
        return Requirement(
            f"{prefix}an evaluation is running in most checks",
            f"{self.running} of {self.checked}",
            2 * self.running > self.checked,
        )

    def _run(self) -> None:
        while not self._stopped.wait(0.5):
            with suppress(OSError, http.client.HTTPException, AssertionError):
                busy = self._target.evaluating()
                self.checked += 1
                self.running += busy
                if not busy:
                    self._target.evaluate()


def attack_with_slow_clients(folder: Path, *, seconds: float, clients: int = 200, limit_ms: float = 100.0) -> Outcome:
    """Measure scrapes next to slow clients during evaluations, with plain HTTP and with TLS."""
    config = _config(folder)
    requirements: list[Requirement] = []
    certificate, key = Authority("test").issue(folder, "server")
    key.chmod(0o600)
    tls = folder / "web.yml"
    tls.write_text(yaml.safe_dump({"tls_server_config": {"cert_file": str(certificate), "key_file": str(key)}}))
    tls.chmod(0o600)
    notes = []
    for name, web_config, kinds in (("HTTP", None, KINDS), ("TLS", tls, HALF_OPEN_TLS)):
        with _Target(config, web_config) as target:
            process = psutil.Process(target.process.pid)
            wait_until(lambda: target.get("/-/ready")[0] == 200, "the first evaluation", timeout=TIMEOUT * 3)
            before = process.num_fds()
            with _Evaluations(target) as evaluations, SlowClients(target.port, kinds, clients) as slow:
                # The responses that are never read have to be computed once, which is no slowness of the clients.
                with suppress(AssertionError):
                    wait_until(lambda: target.seconds_of_scrape() < limit_ms / 1000, timeout=TIMEOUT)
                scrapes = scrape(target, per_second=10, seconds=seconds, threads=2)
            notes.append(f"{name}: {slow.reopened} connections closed by the server")
            with suppress(AssertionError):
                wait_until(lambda: process.num_fds() <= before + 2 and not target.evaluating(), "closed connections")  # noqa: B023
            after = process.num_fds()
        requirements += (
            none_of(f"{name}: failed scrapes", scrapes.failed),
            Requirement(f"{name}: p99 under {limit_ms:.0f} ms", str(scrapes), scrapes.p99 < limit_ms),
            evaluations.requirement(f"{name}: "),
            Requirement(f"{name}: descriptors are closed", f"{before} → {after}", after <= before + 2),
        )
    return Outcome("Slow clients during evaluations", f"{clients} clients each", tuple(requirements), "; ".join(notes))


def attack_with_many_scrapes(folder: Path, *, seconds: float, least: float, per_second: int = 200) -> Outcome:
    """Scrape at this rate during evaluations, or as fast as the exporter answers, but `least` times per second."""
    with _Target(_config(folder), None) as target:
        wait_until(lambda: target.get("/-/ready")[0] == 200, "the first evaluation", timeout=TIMEOUT * 3)
        before = target.finished()
        with _Evaluations(target) as evaluations:
            scrapes = scrape(target, per_second=per_second, seconds=seconds, threads=12)
            with suppress(AssertionError):
                wait_until(lambda: target.finished() > before, "an evaluation", timeout=TIMEOUT * 2)
        finished = target.finished() - before
    return Outcome(
        "Scrapes during evaluations",
        f"{per_second} per second requested for {seconds:.0f} s by twelve clients",
        (
            none_of("failed scrapes", scrapes.failed),
            Requirement(
                f"at least {least:g} per second answered", str(scrapes), len(scrapes.seconds) / scrapes.period >= least
            ),
            evaluations.requirement(""),
            Requirement("an evaluation finishes meanwhile", f"{finished:.0f}", finished >= 1),
        ),
    )


def _config(folder: Path) -> Path:
    write_random_model(folder / "models" / "model.onnx")
    write_dataset(folder / "images", clean=400, stego=400, negatives=100)
    # Without a cache, an evaluation decodes all images again.
    return write_config(folder, latency={"sample": 100}, limits={"cache_bytes": 0})
