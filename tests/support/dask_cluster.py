"""A real Dask scheduler and workers on loopback; every process is ended by its ID."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from starlight_exporter.evaluation.engines.settings import EngineSettings, TlsFiles
from support.network_hosts import Host
from support.waiting import wait_until

LOOPBACK = Host("127.0.0.1", ())
_HERE = Path(__file__).parents[1]
_SETTINGS = {
    "DASK_DISTRIBUTED__WORKER__PROFILE__ENABLED": "False",
    "DASK_DISTRIBUTED__ADMIN__SYSTEM_MONITOR__INTERVAL": "2s",
}
_STOP_SECONDS = 10.0


@dataclass(slots=True)
class Cluster:
    """A scheduler and its workers, each worker below a nanny that restarts it."""

    folder: Path
    environment: dict[str, str]
    flags: tuple[str, ...]
    tls: TlsFiles | None
    address: str = ""
    scheduler: subprocess.Popen[bytes] | None = None
    nannies: list[subprocess.Popen[bytes]] = field(default_factory=list)

    @property
    def settings(self) -> EngineSettings:
        """The settings of an engine on this cluster."""
        return EngineSettings("dask", self.address, self.tls)

    def start_scheduler(self, host: Host = LOOPBACK) -> None:
        """Start the scheduler on a free port and wait for its address."""
        file = self.folder / "scheduler.json"
        self.scheduler = self._start(
            "scheduler",
            ("--host", host.address, "--port", "0", "--no-dashboard", "--no-show", "--scheduler-file", str(file)),
            prefix=host.prefix,
        )

        def read() -> str | None:
            assert self.scheduler is not None
            assert self.scheduler.poll() is None, (self.folder / "scheduler.log").read_text(errors="replace")
            with suppress(OSError, ValueError, KeyError):
                return str(json.loads(file.read_text())["address"])
            return None

        self.address = wait_until(read, "address of the scheduler")

    def start_worker(
        self,
        *,
        threads: int = 1,
        host: Host = LOOPBACK,
        environment: Mapping[str, str] | None = None,
        flags: Sequence[str] = (),
        folder: Path | None = None,
        python: Sequence[str] = (),
    ) -> subprocess.Popen[bytes]:
        """Start a worker below a nanny and return the nanny."""
        number = len(self.nannies)
        scratch = folder or self.folder / f"worker-{number}"
        scratch.mkdir(exist_ok=True)
        arguments = (self.address, "--host", host.address, "--nthreads", str(threads), "--no-dashboard")
        nanny = self._start(
            f"worker-{number}",
            (*arguments, "--local-directory", str(scratch), *flags),
            environment=environment,
            prefix=host.prefix,
            python=python,
        )
        self.nannies.append(nanny)
        return nanny

    def log(self, name: str) -> str:
        """Return the output of a process, such as `worker-0`."""
        return (self.folder / f"{name}.log").read_text(errors="replace")

    def stop(self) -> None:
        """End all processes."""
        for process in (*self.nannies, self.scheduler):
            if process is not None:
                end_tree(process)

    def _start(
        self,
        name: str,
        arguments: Sequence[str],
        *,
        environment: Mapping[str, str] | None = None,
        prefix: Sequence[str] = (),
        python: Sequence[str] = (),
    ) -> subprocess.Popen[bytes]:
        module = "distributed.cli.dask_scheduler" if name == "scheduler" else "distributed.cli.dask_worker"
        with (self.folder / f"{name}.log").open("wb") as output:
            return subprocess.Popen(
                [*prefix, sys.executable, *python, "-m", module, *arguments, *self.flags],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env={**os.environ, **self.environment, **(environment or {})},
            )


def end_tree(process: subprocess.Popen[bytes]) -> None:
    """Kill a process and its children, none of which can restart another."""
    with suppress(psutil.NoSuchProcess):
        parent = psutil.Process(process.pid)
        parent.suspend()
        children = parent.children(recursive=True)
        process.kill()
        for child in children:
            with suppress(psutil.NoSuchProcess):
                child.kill()
    process.wait(_STOP_SECONDS)


def worker_pid(nanny: subprocess.Popen[bytes]) -> int:
    """Return the process ID of the worker below a nanny, once it has one."""

    def find() -> int | None:
        for child in psutil.Process(nanny.pid).children():
            with suppress(psutil.NoSuchProcess):
                if "spawn_main" in " ".join(child.cmdline()):
                    return int(child.pid)
        return None

    return wait_until(find, "worker below the nanny")


@contextmanager
def dask_cluster(
    folder: Path,
    *,
    workers: int = 2,
    threads: int = 1,
    settings: Mapping[str, str] | None = None,
    tls: TlsFiles | None = None,
    host: Host = LOOPBACK,
) -> Iterator[Cluster]:
    """Start a cluster and end it. `settings` are those of Dask, as environment variables."""
    folder.mkdir(parents=True, exist_ok=True)
    packages = os.pathsep.join((str(_HERE), str(_HERE.parent / "exporter"), str(_HERE.parent)))
    environment = {
        **_SETTINGS,
        "DASK_CONFIG": str(folder / "config"),
        "PYTHONPATH": packages,
        **(settings or {}),
    }
    flags = (
        ()
        if tls is None
        else (
            *("--protocol", "tls", "--tls-ca-file", str(tls.ca)),
            *("--tls-cert", str(tls.certificate), "--tls-key", str(tls.key)),
        )
    )
    cluster = Cluster(folder, environment, flags, tls)
    try:
        cluster.start_scheduler(host)
        for _ in range(workers):
            cluster.start_worker(threads=threads, host=host)
        yield cluster
    finally:
        cluster.stop()
