#!/usr/bin/env python3
"""Measure the Dask engine: throughput of two workers, share of the scheduler, and simulated scaling.

    PYTHONPATH=exporter:.:tests .venv/bin/python -m benchmarks.engine throughput --dataset datasets/reference --rounds 7
    PYTHONPATH=exporter:.:tests .venv/bin/python -m benchmarks.engine hosts --dataset datasets/reference
    PYTHONPATH=exporter:.:tests .venv/bin/python -m benchmarks.engine scaling --milliseconds 3.3

Each part updates engine.json and engine.md. `hosts` needs root, for network namespaces.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

import psutil

from benchmarks.simulated_cluster import SleepJob
from starlight_exporter.dataset.cache_settings import CacheSettings
from starlight_exporter.dataset.found_files import FoundFile, FoundFilesBuilder
from starlight_exporter.detector.decision import PRODUCTION
from starlight_exporter.evaluation.engines.dask import dask_engine
from starlight_exporter.evaluation.engines.settings import LOCAL
from starlight_exporter.evaluation.run import evaluate
from support.dask_cluster import Cluster, dask_cluster, end_tree
from support.network_hosts import network_of_hosts
from support.run_requests import run_request
from support.waiting import wait_until

FILE: Final = Path(__file__).with_name("engine.json")
MODEL: Final = Path("models/v4/model.onnx")
RESULT_BYTES: Final = 326
"""Bytes of the result of an image on the wire."""
PROCESSES: Final = 4
"""Processes of the simulated workers."""


def main(arguments: Sequence[str]) -> None:
    """Run one part."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", choices=["throughput", "hosts", "scaling"])
    parser.add_argument("--dataset", type=Path)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--workers", type=int, default=64)
    parser.add_argument("--images", type=int, default=1_000_000)
    parser.add_argument("--shard", type=int, default=256)
    parser.add_argument("--milliseconds", type=float, default=3.3, help="measured time of an image on one core")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="starlight-bench-") as folder:
        if options.part == "scaling":
            found = scaling(Path(folder), options)
        elif options.part == "hosts":
            found = hosts(Path(folder), options.dataset.resolve())
        else:
            found = throughput(Path(folder), options.dataset.resolve(), options.rounds)
    results = json.loads(FILE.read_text()) if FILE.exists() else {}
    results[options.part] = found
    FILE.write_text(json.dumps(results, indent=1) + "\n")
    FILE.with_suffix(".md").write_text(document(results))
    print(json.dumps(found, indent=1))


def throughput(folder: Path, dataset: Path, rounds: int) -> dict[str, Any]:
    """Evaluate alternately with two local threads and with two local workers of one thread."""
    speeds: dict[str, list[float]] = {"cold": [], "cached": []}
    with dask_cluster(folder / "cluster") as cluster:
        wait_until(lambda: cluster.log("scheduler").count("Register worker") == 2, "two workers")
        images = 0
        for number in range(rounds + 1):
            rates: dict[tuple[str, str], float] = {}
            for name, settings in (("local", LOCAL), ("dask", cluster.settings)):
                cache = CacheSettings(folder / f"cache-{name}-{number}")
                for state in speeds:
                    request = run_request(MODEL, dataset, model="v4", decision=PRODUCTION, cache=cache, engine=settings)
                    evaluation = evaluate(request).evaluation
                    rates[name, state], images = evaluation.images_per_second, evaluation.images
            print(f"round {number}: {rates}", flush=True)
            # The first round starts the workers' sessions.
            for state in speeds if number else ():
                speeds[state].append(rates["dask", state] / rates["local", state])
    return {"images": images, "rounds": rounds, **{state: _spread(values) for state, values in speeds.items()}}


def hosts(folder: Path, dataset: Path) -> dict[str, Any]:
    """Evaluate on four hosts in network namespaces; return the processor time of every part."""
    with network_of_hosts(4) as network, dask_cluster(folder / "cluster", workers=0, host=network.hub) as cluster:
        for host in network.hosts:
            cluster.start_worker(host=host)
        wait_until(lambda: cluster.log("scheduler").count("Register worker") == 4, "four workers")
        assert cluster.scheduler is not None
        scheduler, nannies = cluster.scheduler.pid, [nanny.pid for nanny in cluster.nannies]
        before = _seconds([scheduler]), _seconds(nannies)
        driver = subprocess.Popen(
            [
                *(*network.hub.prefix, sys.executable, "-m", "starlight_exporter.cli.main", "evaluate"),
                *("--model", str(MODEL), "--dataset", str(dataset), "--engine", f"dask+{cluster.address}"),
                *("--latency-sample", "0"),
            ],
            env={**os.environ, **cluster.environment},
            stdout=subprocess.DEVNULL,
        )
        _, status, usage = os.wait4(driver.pid, 0)
        assert os.waitstatus_to_exitcode(status) in (0, 1), status
        spent = {
            "scheduler": _seconds([scheduler]) - before[0],
            "workers": _seconds(nannies) - before[1],
            "driver": usage.ru_utime + usage.ru_stime,
        }
    total = sum(spent.values())
    images = sum(1 for file in dataset.rglob("*") if file.is_file() and file.suffix != ".json")
    return {"images": images, "seconds": spent, "share": {name: value / total for name, value in spent.items()}}


def scaling(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Map sleeps over a listing of a million files on simulated workers."""
    seconds = options.milliseconds / 1000
    with dask_cluster(folder / "cluster", workers=0) as cluster:
        processes = [_simulated(cluster, folder / f"workers-{number}", options) for number in range(PROCESSES)]
        try:
            wait_until(
                lambda: cluster.log("scheduler").count("Register worker") == options.workers, "workers", timeout=300
            )
            assert cluster.scheduler is not None
            groups = {"driver": [os.getpid()], "scheduler": [cluster.scheduler.pid]}
            groups["workers"] = [process.pid for process in processes]
            shards = _Shards(options.images, options.shard)
            before = {name: _seconds(pids) for name, pids in groups.items()}
            with dask_engine(cluster.settings) as engine:
                start, files = time.monotonic(), 0
                for result in engine.map(SleepJob(seconds, RESULT_BYTES), shards, progress=lambda _done: None):
                    files += len(result) // RESULT_BYTES
                wall = time.monotonic() - start
            spent = {name: _seconds(pids) - before[name] for name, pids in groups.items()}
            memory = (
                psutil.Process().memory_info().rss / 1e6,
                psutil.Process(groups["scheduler"][0]).memory_info().rss / 1e6,
            )
        finally:
            for process in processes:
                end_tree(process)
    assert files == options.images
    ideal = options.images * seconds / options.workers
    return {
        "images": options.images,
        "workers": options.workers,
        "shard": options.shard,
        "milliseconds": options.milliseconds,
        "ideal_seconds": ideal,
        "wall_seconds": wall,
        "efficiency": ideal / wall,
        "seconds": spent,
        "driver_megabytes": memory[0],
        "scheduler_megabytes": memory[1],
        "load": os.getloadavg()[0],
    }


class _Shards:
    """Shards of a packed listing without files."""

    def __init__(self, images: int, size: int) -> None:
        builder = FoundFilesBuilder(Path("/srv/starlight/images"))
        for number in range(images):
            path = f"stego/lsb/{number // 1000:04}/photograph-{number:07}.png"
            builder.add(FoundFile(builder.root, path, "stego", size_bytes=150_000))
        self._files = builder.finish(ignored=0)
        self._size = size

    def __len__(self) -> int:
        return (len(self._files) + self._size - 1) // self._size

    def __getitem__(self, number: int) -> tuple[FoundFile, ...]:
        return self._files[number * self._size : (number + 1) * self._size]


def _simulated(cluster: Cluster, folder: Path, options: argparse.Namespace) -> subprocess.Popen[bytes]:
    folder.mkdir()
    command = ("-m", "benchmarks.simulated_cluster", cluster.address, str(options.workers // PROCESSES), str(folder))
    return subprocess.Popen(
        [sys.executable, *command], env={**os.environ, **cluster.environment}, stderr=subprocess.DEVNULL
    )


def _seconds(pids: Iterable[int]) -> float:
    """Return the processor time of processes and their children."""
    total = 0.0
    for pid in pids:
        for process in (root := psutil.Process(pid), *root.children(recursive=True)):
            times = process.cpu_times()
            total += times.user + times.system
    return total


def _spread(values: Sequence[float]) -> dict[str, float]:
    return {"median": statistics.median(values), "low": min(values), "high": max(values)}


def document(results: dict[str, Any]) -> str:
    """Return engine.md."""
    lines = ["# Dask engine", "", "Written by `python -m benchmarks.engine`; see [clusters](../docs/scale.md)."]
    if "throughput" in results:
        found = results["throughput"]
        lines += [
            *("", "## Throughput", ""),
            "Images per second of the bulk pass with two local workers of one thread, relative to two threads of one",
            f"process: v4 on {found['images']:,} images, median and range of {found['rounds']} paired rounds.",
            *("", "| images | Dask / local |", "|---|---|"),
        ]
        for state in ("cold", "cached"):
            ratio = found[state]
            lines.append(f"| {state} | {ratio['median']:.2f} ({ratio['low']:.2f}–{ratio['high']:.2f}) |")
    if "hosts" in results:
        found = results["hosts"]
        lines += [
            *("", "## Processor time", ""),
            f"One evaluation of {found['images']:,} images, not cached, on four hosts in network namespaces of one",
            "machine, without a latency pass.",
            *("", "| process | CPU time | share |", "|---|---|---|"),
        ]
        for name, seconds in found["seconds"].items():
            lines.append(f"| {name} | {seconds:.1f} s | {found['share'][name]:.1%} |")
    if "scaling" in results:
        found = results["scaling"]
        lines += [
            *("", "## Scaling (simulated)", ""),
            f"{found['images']:,} images on {found['workers']} simulated workers: every shard of {found['shard']}",
            f"images sleeps for its measured time ({found['milliseconds']:g} ms per image) and returns {RESULT_BYTES}",
            "bytes per image.",
            "Scheduler, driver and all workers share two cores with other programs",
            f"(load {found['load']:.1f} at the end).",
            *("", "| | |", "|---|---|"),
            f"| ideal time | {found['ideal_seconds']:.1f} s |",
            f"| time | {found['wall_seconds']:.1f} s |",
            f"| efficiency | {found['efficiency']:.2f} |",
            *(f"| CPU time: {name} | {seconds:.1f} s |" for name, seconds in found["seconds"].items()),
            f"| memory of the driver | {found['driver_megabytes']:.0f} MB |",
            f"| memory of the scheduler | {found['scheduler_megabytes']:.0f} MB |",
        ]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main(sys.argv[1:])
