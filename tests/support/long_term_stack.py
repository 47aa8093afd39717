"""Exporter, Prometheus with remote write, and VictoriaMetrics; each part can be killed and started again."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Literal, Self

import httpx
import yaml

from stack.configuration import remote_write
from support.exporter import Exporter, write_config
from support.servers import Prometheus, QueryServer, Server, free_port
from support.stored import history_records
from support.victoria_metrics import VictoriaMetrics

Part = Literal["exporter", "prometheus", "store"]
PARTS: Final[tuple[Part, ...]] = ("exporter", "prometheus", "store")

JOB: Final = "starlight-exporter"
_TIMESTAMP: Final = "starlight_evaluation_timestamp_seconds"


@dataclass(frozen=True, slots=True)
class Counts:
    """Distinct evaluations in history, Prometheus and store, and scraped samples in the latter two."""

    history: int
    prometheus: int
    store: int
    prometheus_samples: int
    store_samples: int
    repeated_samples: int

    def equal(self) -> bool:
        """Return whether no part lacks an evaluation or a sample, and none has one twice."""
        evaluations = {self.history, self.prometheus, self.store}
        return len(evaluations) == 1 and self.prometheus_samples == self.store_samples and not self.repeated_samples


class LongTermStack:
    """The three parts on free ports. Evaluations are requested; the intervals of scrapes are in seconds."""

    def __init__(self, folder: Path, *, scrape_seconds: float) -> None:
        self.folder = folder
        self._ports = {part: free_port() for part in PARTS}
        self._config = write_config(folder, latency={"sample": 0}, schedule={"interval": "1d"})
        self.prometheus_config = folder / "prometheus.yml"
        scrape = f"{round(1000 * scrape_seconds)}ms"
        target = {"targets": [f"127.0.0.1:{self._ports['exporter']}"]}
        settings = {
            "global": {"scrape_interval": scrape, "scrape_timeout": scrape},
            "scrape_configs": [{"job_name": JOB, "static_configs": [target]}],
            "remote_write": [remote_write(f"http://127.0.0.1:{self._ports['store']}/api/v1/write")],
        }
        self.prometheus_config.write_text(yaml.safe_dump(settings))

    def __enter__(self) -> Self:
        for part in reversed(PARTS):
            self.start(part)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for part in PARTS:
            with suppress(AttributeError):  # not started
                self._server(part).stop()

    @property
    def history(self) -> Path:
        """The file of the history."""
        return self.folder / "data" / "history.jsonl"

    @property
    def labels(self) -> tuple[str, ...]:
        """Flags with the labels of the scraped series."""
        return (f"--label=job={JOB}", f"--label=instance=127.0.0.1:{self._ports['exporter']}")

    def start(self, part: Part) -> None:
        """Start a part at its address, with the data of its last run."""
        port = self._ports[part]
        if part == "exporter":
            self.exporter = Exporter(self._config, port=port)
        elif part == "prometheus":
            log = self.folder / "prometheus.log"
            flags = ["--web.enable-admin-api"]
            data = self.folder / "tsdb"
            self.prometheus = Prometheus(self.prometheus_config, data, log=log, port=port, flags=flags)
        else:
            self.store = VictoriaMetrics(self.folder / "store", log=self.folder / "store.log", port=port)

    def kill(self, part: Part) -> None:
        """End a part with SIGKILL."""
        process = self._server(part).process
        process.kill()
        process.wait()

    def evaluate(self) -> bool:
        """Request an evaluation, and return whether the exporter accepted it."""
        try:
            return httpx.post(f"{self.exporter.url}/api/v1/evaluations", timeout=10.0).status_code == 202
        except httpx.TransportError:
            return False

    def evaluations(self) -> int:
        """Return the number of evaluations in the history."""
        return self.history.read_bytes().count(b"\n") if self.history.exists() else 0

    def is_idle(self) -> bool:
        """Return whether no evaluation is active or queued."""
        return not self.exporter.total("evaluation_in_progress") + self.exporter.total("evaluations_queued")

    def is_complete(self) -> bool:
        """Return whether Prometheus and store have the newest evaluation."""
        newest = max((record["finished_at"] for record in history_records(self.folder / "data")), default=math.inf)
        return all(self._newest(server) >= newest - 0.001 for server in (self.prometheus, self.store))

    def is_sent(self) -> bool:
        """Return whether Prometheus has sent its newest sample, which after the end of the exporter is the last."""
        sent = self._metric("queue_highest_sent_timestamp_seconds")
        return self._metric("samples_pending") == 0 and sent >= self._metric("highest_timestamp_in_seconds")

    def retried(self) -> float:
        """Return the number of samples that Prometheus has sent again since its start."""
        return self._metric("samples_retried_total")

    def counts(self, seconds: float) -> Counts:
        """Return the counts over the last `seconds`."""
        self.store.flush()
        prometheus, store = (_samples(server, seconds) for server in (self.prometheus, self.store))
        records = history_records(self.folder / "data")
        scraped, stored = ({(series, at) for series, at, _ in samples} for samples in (prometheus, store))
        return Counts(
            history=len({_milliseconds(record["finished_at"]) for record in records}),
            prometheus=_evaluations(prometheus),
            store=_evaluations(store),
            prometheus_samples=len(scraped),
            store_samples=len(stored),
            repeated_samples=len(store) - len(stored),
        )

    def copy_scrapes(self) -> None:
        """Copy all samples of Prometheus to the store, from a snapshot."""
        self.store.copy_scrapes(self.prometheus, self.folder / "tsdb")

    def _server(self, part: Part) -> Server:
        server: Server = getattr(self, part)
        return server

    def _metric(self, name: str) -> float:
        text = httpx.get(f"{self.prometheus.url}/metrics", timeout=10.0).text
        name = f"prometheus_remote_storage_{name}"
        return sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if re.match(rf"{name}[{{ ]", line))

    def _newest(self, server: QueryServer) -> float:
        return server.value(f"max(max_over_time({_TIMESTAMP}[1h]))") or 0.0


def _samples(server: QueryServer, seconds: float) -> Sequence[tuple[str, int, float]]:
    """Return series, milliseconds and value of every sample of the exporter, without staleness markers."""
    selector = f'{{__name__=~"starlight_.+",job="{JOB}"}}[{round(seconds)}s]'
    parameters = {"query": selector, "nocache": "1"}
    answer: Any = httpx.get(f"{server.url}/api/v1/query", params=parameters, timeout=60.0).json()
    assert answer["status"] == "success", answer
    return [
        (json.dumps(row["metric"], sort_keys=True), _milliseconds(at), float(value))
        for row in answer["data"]["result"]
        for at, value in row["values"]
        if value != "NaN"
    ]


def _evaluations(samples: Sequence[tuple[str, int, float]]) -> int:
    return len({_milliseconds(value) for series, _, value in samples if _TIMESTAMP in series})


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)
