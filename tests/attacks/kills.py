"""Kill service and workers at random moments: nothing that was reported is lost, doubled or under a wrong hash."""

from __future__ import annotations

import hashlib
import random
import shutil
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx
import psutil
from prometheus_client.parser import text_string_to_metric_families

from attacks.outcome import Outcome, Requirement, none_of
from support.exporter import exporter_command, write_config
from support.images import write_dataset
from support.models import write_constant_model
from support.processes import processes_in, workers
from support.servers import Server, free_port
from support.stored import evidence_records, history_records
from support.waiting import TIMEOUT, wait_until

SEED: Final = 16
_LONGEST_PHASE: Final = 2.0
"""Seconds after the beginning of a phase within which the process is killed."""
_IMAGES: Final = {"clean": 20, "stego": 20, "negatives": 4}


@dataclass(slots=True)
class _Seen:
    """What the exporter reported before it was killed."""

    results: set[tuple[str, float]] = field(default_factory=set)
    logged: int = 0
    exits: list[str] = field(default_factory=list)
    phases: Counter[str] = field(default_factory=Counter)


class _Victim:
    """The exporter, started again and again on the same data, with two models in turn at the same path."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.rng = random.Random(seed)
        self.seen = _Seen()
        self.folder = folder
        self.temporary = folder / "temporary"
        self.temporary.mkdir(parents=True)
        write_dataset(folder / "images", **_IMAGES)
        models = {logit: write_constant_model(folder / "stock" / f"{logit}.onnx", logit=logit) for logit in (-4.0, 4.0)}
        self._models = {hashlib.sha256(file.read_bytes()).hexdigest(): file for file in models.values()}
        self.expected = dict(zip(self._models, (0, _IMAGES["stego"]), strict=True))
        self.config = write_config(folder, latency={"sample": 20}, evidence={"keep": 10_000, "max_bytes": "10GiB"})

    def swap(self) -> str:
        """Deploy the model that was not stored last, so that it is evaluated; return its hash."""
        stored = {_sha256(record) for record in history_records(self.folder / "data")[-1:]}
        sha256, source = next((sha256, file) for sha256, file in self._models.items() if sha256 not in stored)
        shutil.copy(source, self.folder / "models" / "new")
        (self.folder / "models" / "new").rename(self.folder / "models" / "model.onnx")
        return sha256

    def start(self) -> Server:
        """Start the exporter without waiting for it."""
        port = free_port()
        return Server(
            exporter_command(self.config, port, "--web.enable-lifecycle"),
            port=port,
            ready_path="/-/healthy",
            log=self.folder / "exporter.log",
            environment={"TMPDIR": str(self.temporary)},
        )

    def wait_for_phase(self, server: Server, phase: str) -> None:
        """Wait until a random moment in a phase of the exporter's life."""
        if phase == "start-up":
            self.observe(server, self.rng.uniform(0, _LONGEST_PHASE))
            return
        wait_until(
            lambda: "evaluation started" in self._log() or server.process.poll() is not None,
            self._log,
            timeout=TIMEOUT * 2,
        )
        if phase == "evaluation":
            self.observe(server, self.rng.uniform(0, _LONGEST_PHASE))
            return
        # The history is written before the evidence.
        stored = _size(self.folder / "data")
        deadline = time.monotonic() + TIMEOUT
        while _size(self.folder / "data") == stored and time.monotonic() < deadline:
            time.sleep(0.001)
        time.sleep(self.rng.uniform(0, 0.1))

    def observe(self, server: Server, seconds: float) -> None:
        """Record the displayed results until the time has passed."""
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            if server.process.poll() is not None:
                self.seen.exits.append(f"exit code {server.process.returncode}")
                return
            with suppress(httpx.TransportError):
                self._record(httpx.get(f"{server.url}/metrics", timeout=5.0).text)
            time.sleep(min(0.05, max(left, 0)))

    def kill_worker(self, server: Server) -> bool:
        """Kill a worker; return whether there was one."""
        found = workers(server.process.pid)
        if not found:
            return False
        self.seen.phases[f"worker {self._phase()}"] += 1
        with suppress(psutil.NoSuchProcess):
            self.rng.choice(found).kill()
        return True

    def kill(self, server: Server) -> None:
        """Kill the service and count what it logged as finished."""
        self.seen.phases[f"service {self._phase()}"] += 1
        server.process.kill()
        server.process.wait()
        self.seen.logged += self._log().count("outcome=success")

    def finish(self, server: Server) -> None:
        """Count what a service logged that ended by itself."""
        self.seen.logged += self._log().count("outcome=success")
        self._record_exit(server)

    def _record_exit(self, server: Server) -> None:
        if server.process.returncode != 0:
            self.seen.exits.append(f"exit code {server.process.returncode} at SIGTERM")

    def _phase(self) -> str:
        log = self._log()
        if "evaluation started" not in log:
            return "during start-up"
        return "after an evaluation" if "evaluation finished" in log else "during an evaluation"

    def _log(self) -> str:
        return (self.folder / "exporter.log").read_text(errors="replace")

    def _record(self, text: str) -> None:
        samples = {
            sample.name: sample
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name in ("starlight_evaluation_timestamp_seconds", "starlight_evaluation_info")
        }
        if len(samples) == 2:
            sha256 = samples["starlight_evaluation_info"].labels["model_sha256"]
            self.seen.results.add((sha256, samples["starlight_evaluation_timestamp_seconds"].value))


def attack(folder: Path, kills: int) -> Outcome:
    """Kill service or worker this number of times in all, start again each time, then check what is stored."""
    victim = _Victim(folder, SEED)
    done = 0
    while done < kills:
        victim.swap()
        server = victim.start()
        victim.wait_for_phase(server, ("start-up", "evaluation", "evaluation", "storing")[done % 4])
        if victim.rng.random() < 0.5 and done + 1 < kills and victim.kill_worker(server):
            done += 1
            victim.observe(server, victim.rng.uniform(0, _LONGEST_PHASE))
        victim.kill(server)
        done += 1
    sha256 = victim.swap()
    server = victim.start().wait_ready()
    wait_until(
        lambda: sha256[:12] in httpx.get(f"{server.url}/metrics?name[]=starlight_evaluation_info", timeout=10.0).text,
        lambda: server.log.read_text()[-3000:],
        timeout=TIMEOUT * 2,
    )
    victim.observe(server, 2.0)
    server.stop()
    victim.finish(server)
    orphans, folders = _left_after_a_minute(victim.temporary)
    return _outcome(victim, kills, orphans, folders)


def _left_after_a_minute(temporary: Path) -> tuple[list[int], list[str]]:
    deadline = time.monotonic() + 60
    while True:
        orphans = [process.pid for process in processes_in(temporary)]
        folders = [path.name for path in temporary.glob("starlight-run-*")]
        if not (orphans or folders) or time.monotonic() > deadline:
            return orphans, folders
        time.sleep(0.5)


def _outcome(victim: _Victim, kills: int, orphans: list[int], folders: list[str]) -> Outcome:
    history = history_records(victim.folder / "data")
    evidence = evidence_records(victim.folder / "results")
    stored = {(_sha256(record)[:12], record["finished_at"]) for record in history}
    stored_evidence = {(_sha256(record)[:12], record["finished_at"]) for record in evidence.values()}
    doubled = [name for name, count in Counter(record["id"] for record in history).items() if count > 1]
    wrong = [
        record["id"]
        for record in (*history, *evidence.values())
        if victim.expected.get(_sha256(record)) != record["stego"]["count"] or record["images"] != sum(_IMAGES.values())
    ]
    phases = ", ".join(f"{count} {phase}" for phase, count in sorted(victim.seen.phases.items()))
    return Outcome(
        "SIGKILL of service and workers",
        f"{kills} kills ({phases}); {len(history)} evaluations",
        (
            none_of("reported results that are not in the history", victim.seen.results - stored),
            none_of("reported results without evidence", victim.seen.results - stored_evidence),
            Requirement(
                "at least as many records as logged successes",
                f"{len(history)} of {victim.seen.logged}",
                len(history) >= victim.seen.logged,
            ),
            none_of("evaluations stored twice", doubled),
            none_of("results under a wrong hash", wrong),
            none_of("unexpected exits of the service", victim.seen.exits),
            none_of("processes left after one minute", orphans),
            none_of("temporary folders left after one minute", folders),
        ),
    )


def _size(data: Path) -> int:
    file = data / "history.jsonl"
    return file.stat().st_size if file.exists() else 0


def _sha256(record: dict[str, Any]) -> str:
    return str(record["provenance"]["model_sha256"])
