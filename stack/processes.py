"""Child processes with a log file each: started, watched until they answer, stopped in reverse order."""

from __future__ import annotations

import signal
import subprocess
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

STOP_SECONDS = 15.0


class StackError(Exception):
    """The stack cannot start or has lost a part; the text is one line that names the part and its log."""


@dataclass(frozen=True, slots=True)
class Part:
    """One process of the stack: its command, where it answers once it is ready, and the page or file people open.

    Without a `ready_url` it serves nothing, and is ready as soon as it runs.
    """

    name: str
    command: tuple[str, ...]
    ready_url: str | None
    page_url: str


class Supervisor:
    """Starts parts one after the other and stops, in reverse order, exactly what it started."""

    def __init__(self, log_folder: Path) -> None:
        self._log_folder = log_folder
        self._running: list[tuple[Part, subprocess.Popen[bytes]]] = []

    def log_file(self, part: Part) -> Path:
        """Where this part's output goes; the previous run's is kept as `.1`."""
        return self._log_folder / f"{part.name}.log"

    def start(self, part: Part, *, timeout: float = 60.0) -> None:
        """Start a part and wait until it answers; raises StackError with the last line of its log if it does not."""
        self._log_folder.mkdir(parents=True, exist_ok=True)
        log_file = self.log_file(part)
        if log_file.exists():
            log_file.replace(log_file.with_suffix(".log.1"))
        try:
            with log_file.open("wb") as log:
                # Its own session: a Ctrl-C reaches us alone, and we stop the parts in order.
                process = subprocess.Popen(
                    part.command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
                )
        except OSError as error:
            raise StackError(f"{part.name}: cannot run {part.command[0]}: {error.strerror}") from error
        self._running.append((part, process))
        deadline = time.monotonic() + timeout
        while part.ready_url is not None and not answers(part.ready_url):
            self.check()
            if time.monotonic() > deadline:
                raise StackError(f"{part.name}: no answer at {part.ready_url} in {timeout:.0f} s; see {log_file}")
            time.sleep(0.2)
        # Something else on the same port would have answered while ours failed to bind.
        self.check()

    def check(self) -> None:
        """Raise StackError if a started part has ended."""
        for part, process in self._running:
            code = process.poll()
            if code is not None:
                log_file = self.log_file(part)
                raise StackError(f"{part.name} ended with code {code}: {last_line(log_file)} (log: {log_file})")

    def stop(self) -> None:
        """Ask every part to end, the last started first; one that does not within 15 s is killed."""
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
    """Whether a GET of this loopback address gives 2xx within two seconds."""
    try:
        with urllib.request.urlopen(url, timeout=2) as response:
            return 200 <= int(response.status) < 300
    except (urllib.error.URLError, OSError):
        return False


def last_line(file: Path) -> str:
    """The last line of a log that is not blank, or a word that there is none."""
    lines = [line for line in file.read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1].strip() if lines else "no output"
