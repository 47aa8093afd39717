"""Evaluate while the disk for results is full: metrics are current, and everything is written once there is space."""

from __future__ import annotations

import shutil
from contextlib import suppress
from pathlib import Path

import httpx

from attacks.outcome import Outcome, Requirement, none_of
from support.exporter import Exporter, write_config
from support.models import write_constant_model
from support.small_disk import small_disk
from support.stored import evidence_records, history_records

_STEGO = 10


def attack(folder: Path, evaluations: int) -> Outcome:
    """Evaluate two models in turn this number of times on a full disk, free the space, and check what is stored."""
    stock = [write_constant_model(folder / "stock" / f"{logit}.onnx", logit=logit) for logit in (-4.0, 4.0)]
    with small_disk(folder / "disk", "8m") as disk:
        config = write_config(
            folder, paths={"data": "disk/data", "results": "disk/results", "cache": "cache"}, latency={"sample": 0}
        )
        with Exporter(config) as exporter:
            exporter.wait_for_value(0, "detections", model="production", method="lsb")
            _fill(disk / "filler")
            reported = []
            for number in range(evaluations):
                shutil.copy(stock[(number + 1) % 2], folder / "models" / "new")
                (folder / "models" / "new").rename(folder / "models" / "model.onnx")
                expected = _STEGO * ((number + 1) % 2)
                exporter.wait_until(lambda: exporter.total("detections") == expected, "the new result")  # noqa: B023
                exporter.wait_for_value(0, "evaluation_in_progress", model="production")
                reported.append(exporter.value("evaluation_timestamp_seconds", model="production"))
                _fill(disk / "filler")
            failures = exporter.total("storage_failures_total")
            page = "Storing results failed" in httpx.get(exporter.url, timeout=10.0).text
            pending = exporter.value("storage_pending_results")
            (disk / "filler").unlink()
            with suppress(AssertionError):
                exporter.wait_until(
                    lambda: (
                        len(history_records(disk / "data")) > evaluations
                        and len(evidence_records(disk / "results")) >= evaluations
                    ),
                    "the stored results",
                    timeout=90.0,
                )
            exporter.stop()
        history = history_records(disk / "data")
        evidence = evidence_records(disk / "results").values()
    times = [record["finished_at"] for record in history]
    return Outcome(
        "Full disk",
        f"{evaluations} evaluations on a full file system of 8 MiB",
        (
            Requirement(
                "failures are on /metrics and on the status page", f"{failures:.0f}; {page}", failures > 0 and page
            ),
            Requirement("results wait in memory", f"{pending}", pending is not None and pending > 0),
            none_of("results missing in the history afterwards", [one for one in reported if one not in times]),
            none_of(
                "results without readable evidence afterwards",
                set(reported) - {record["finished_at"] for record in evidence},
            ),
            Requirement("history in order, each once", f"{len(times)} records", times == sorted(set(times))),
        ),
    )


def _fill(filler: Path) -> None:
    with filler.open("ab", buffering=0) as file:
        for size in (65_536, 4_096, 1):
            with suppress(OSError):
                while True:
                    file.write(bytes(size))
