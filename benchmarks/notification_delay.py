"""From a worse model in place to its alert in the notification log: the stack at its shipped intervals, real seconds.

    python -m benchmarks.notification_delay --dataset datasets/reference --good models/v4/model.onnx \\
        --worse models/v3/model.onnx --swaps 3

Starts scripts/up on ports of its own with the dataset and a copy of the good model, swaps the worse one in, waits for
the first firing notification, counts those that follow within a minute with something critical and new, swaps back,
waits until all is resolved, and so on. Prints a Markdown table.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import tempfile
import time
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.native_stack import NativeStack, machine, swap, swap_options, wait

ABOUT_RATES = 'model="production",alertname!~"StarlightLatency.+|StarlightRegressionSuiteFailing"'
"""Alerts that the swap causes: how fast this machine is at the moment is another matter (and fails the suite)."""


def main() -> None:
    """Measure and print."""
    options = swap_options(__doc__, "good", "worse", swaps=3)
    with tempfile.TemporaryDirectory(prefix="starlight-delay-") as name:
        rows = measure(Path(name), options)
    print(f"{machine()}\n")
    print(
        "| swap | new value in Prometheus | alert fires | notification delivered | critical alerts | in notifications |"
    )
    print("|---|---:|---:|---:|---:|---:|")
    for number, row in enumerate(rows, 1):
        times = " | ".join(f"{seconds:.0f} s" for seconds in (row.value, row.fires, row.delivered))
        print(f"| {number} | {times} | {row.alerts} | {row.told_in} |")
    medians = [statistics.median(column) for column in zip(*(row[:3] for row in rows), strict=True)]
    print("| median | " + " | ".join(f"{value:.0f} s" for value in medians) + " | | |")


class Row(NamedTuple):
    """One swap: seconds from the rename, and in how many notifications how many critical alerts were told."""

    value: float
    fires: float
    delivered: float
    alerts: int
    told_in: int


def measure(folder: Path, options: argparse.Namespace) -> list[Row]:
    """One row per swap."""
    model = folder / "model.onnx"
    shutil.copy(options.good, model)
    with NativeStack(folder / "data", options.dataset, model) as stack:
        rows = []
        log = folder / "data" / "notifications.jsonl"
        for _ in range(options.swaps):
            before = stack.hashes()
            began = swap(options.worse, model)
            value = wait(lambda: stack.hashes() - before, "the new value", 300)  # noqa: B023  # called at once
            fires = wait(lambda: stack.query(f'ALERTS{{alertstate="firing",{ABOUT_RATES}}}'), "an alert", 300)
            delivered = wait(partial(told, log, began), "the notification", 300)
            # Twice the time after which Alertmanager tells what is new in the same group.
            time.sleep(60)
            alerts, told_in = critical(log, began)
            rows.append(Row(value - began, fires - began, delivered - began, alerts, told_in))
            swap(options.good, model)
            wait(lambda: not stack.query(f"ALERTS{{{ABOUT_RATES}}}"), "the end of all alerts", 900)
            # Alertmanager still has to tell that it is over.
            time.sleep(60)
        return rows


def told(log: Path, since: float) -> bool:
    """Whether a firing alert about the production model was delivered since then."""
    return any(about_rates(alert, since) for notification in notifications(log) for alert in notification["alerts"])


def critical(log: Path, since: float) -> tuple[int, int]:
    """How many critical alerts were told since then, and in how many notifications for the first time."""
    seen: set[str] = set()
    count = 0
    for notification in notifications(log):
        named = {
            json.dumps(alert["labels"], sort_keys=True)
            for alert in notification["alerts"]
            if about_rates(alert, since) and alert["labels"]["severity"] == "critical"
        }
        count += bool(named - seen)
        seen |= named
    return len(seen), count


def notifications(log: Path) -> list[dict[str, Any]]:
    """What the notification log holds."""
    return [json.loads(line) for line in log.read_text().splitlines()]


def about_rates(alert: dict[str, Any], since: float) -> bool:
    """Whether it began to fire since then and is caused by the swap (see ABOUT_RATES)."""
    return (
        alert["status"] == "firing"
        and alert["labels"].get("model") == "production"
        and not alert["labels"]["alertname"].startswith(("StarlightLatency", "StarlightRegressionSuite"))
        and datetime.fromisoformat(alert["starts_at"]).timestamp() >= since
    )


if __name__ == "__main__":
    main()
