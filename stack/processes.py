"""Child processes with one log file each: started until ready, supervised, stopped in reverse order."""

from __future__ import annotations

import signal
import subprocess
import time
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path

from stack.errors import StackError
from starlight_exporter.http_client import HttpClient

STOP_SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class Service:
    """One process: its command, the URL that answers once it is ready, and the page or file that people open.

    Without a `ready_url` it is ready as soon as it runs. `folder` is its working directory, by default the current one.
    `pages` are the paths below `location` of which the first that exists is shown.
    """

    name: str
    command: tuple[str, ...]
    ready_url: str | None
    location: str
    folder: Path | None = None
    pages: tuple[str, ...] = ()


class Supervisor:
    """Start services one after the other, and stop exactly these in reverse order."""

    def __init__(self, log_folder: Path) -> None:
        self._log_folder = log_folder
        self._running: list[tuple[Service, subprocess.Popen[bytes]]] = []

    def log_file(self, service: Service) -> Path:
        """Return the file of the service's output; that of the previous run has the suffix `.1`."""
        return self._log_folder / f"{service.name}.log"

    def start(self, service: Service, *, timeout: float = 60.0) -> None:
        """Start a service and wait until it is ready. Raises StackError with the last line of its log."""
        self._log_folder.mkdir(parents=True, exist_ok=True)
        log_file = self.log_file(service)
        if log_file.exists():
            log_file.replace(log_file.with_suffix(".log.1"))
        try:
            with log_file.open("wb") as log:
                # In its own session, so that Ctrl-C reaches only the supervisor, which stops services in order.
                process = subprocess.Popen(
                    service.command,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    cwd=service.folder,
                    start_new_session=True,
                )
        except OSError as error:
            raise StackError(f"{service.name}: cannot run {service.command[0]}: {error.strerror}") from error
        self._running.append((service, process))
        deadline = time.monotonic() + timeout
        while service.ready_url is not None and not answers(service.ready_url):
            self.check()
            if time.monotonic() > deadline:
                raise StackError(f"{service.name}: no answer at {service.ready_url} in {timeout:.0f} s; see {log_file}")
            time.sleep(0.2)
        # If the port was taken, another process has answered and this one has exited.
        self.check()

    def send(self, name: str, number: signal.Signals) -> None:
        """Send a signal to the service of this name."""
        for service, process in self._running:
            if service.name == name:
                process.send_signal(number)

    def check(self) -> None:
        """Raise StackError if a service has exited."""
        for service, process in self._running:
            code = process.poll()
            if code is not None:
                log_file = self.log_file(service)
                raise StackError(f"{service.name} exited with code {code}: {last_line(log_file)} (log: {log_file})")

    def stop(self) -> None:
        """Terminate all services, the last started first; kill those that have not exited after 15 s."""
        while self._running:
            _, process = self._running.pop()
            if process.poll() is not None:
                continue
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def answers(url: str) -> bool:
    """Return whether a GET request returns 2xx within two seconds."""
    try:
        HttpClient().get(url, timeout=2)
    except (OSError, HTTPException):
        return False
    return True


def last_line(file: Path) -> str:
    """Return the last non-blank line of a log file, or "no output"."""
    lines = [line for line in file.read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1].strip() if lines else "no output"
