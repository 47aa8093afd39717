"""Remote write to VictoriaMetrics for an hour, with one kill of each part, and the counts afterwards.

    PYTHONPATH=exporter:tests python -m benchmarks.long_term --minutes 60 --output benchmarks/long_term.md

An exporter evaluates every minute, Prometheus scrapes it every 15 seconds and writes to VictoriaMetrics. Exporter,
Prometheus and VictoriaMetrics are killed (SIGKILL) one after the other, and are started again after three minutes. Then
the history is imported, the scrapes are copied, and everything is counted.

Exit code 1: the counts differ.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.native_stack import machine
from support.long_term_stack import PARTS, Counts, LongTermStack, Part
from support.servers import QueryServer
from support.waiting import wait_until


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds: duration, time between evaluations and between scrapes, and how long a killed part is down."""

    duration: float
    evaluation: float
    scrape: float
    outage: float


PATIENCE: Final = 300.0
"""Seconds after which an evaluation that was requested is missed, on a busy machine."""

HOUR: Final = Timing(duration=3600, evaluation=60, scrape=15, outage=180)


@dataclass(frozen=True, slots=True)
class Report:
    """Counts before and after import and copy, retried samples, and the output of the verification of the store."""

    before: Counts
    after: Counts
    retried: float
    verification: str
    exit_code: int


def main() -> int:
    """Run the benchmark and write the report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args()
    scale = 60 * options.minutes / HOUR.duration
    timing = Timing(60 * options.minutes, HOUR.evaluation, HOUR.scrape, HOUR.outage * scale)
    with tempfile.TemporaryDirectory(prefix="starlight-long-term-") as folder:
        report = run(Path(folder), timing)
    text = rendered(report, timing)
    options.output.write_text(text)
    print(text)
    return 0 if report.exit_code == 0 and report.after.equal() else 1


def run(folder: Path, timing: Timing, *, backfill: bool = True) -> Report:
    """Run the stack with all kills; return the counts. With `backfill`, import the history into Prometheus, too."""
    started = time.monotonic()
    with LongTermStack(folder, scrape_seconds=timing.scrape) as stack:
        retried = _operate(stack, timing)
        wait_until(stack.is_idle, "no evaluation", timeout=300)
        wait_until(stack.is_complete, "newest evaluation in both", timeout=300, interval=1)
        stack.exporter.stop()
        wait_until(stack.is_sent, "all samples sent", timeout=300, interval=1)
        seconds = time.monotonic() - started + 600
        before = stack.counts(seconds)
        file = stack.folder / "history.om"
        file.write_text(history(stack, "export").stdout)
        stack.store.import_file(file)
        stack.copy_scrapes()
        if backfill:
            create_blocks(file, stack.folder / "tsdb")
            # Prometheus looks for new blocks once a minute.
            wait_until(lambda: _has_imported(stack, stack.prometheus), "backfilled blocks", timeout=300, interval=10)
        after = stack.counts(seconds)
        done = history(stack, "verify", f"--prometheus={stack.store.url}")
        return Report(before, after, retried, done.stdout.strip(), done.returncode)


def _operate(stack: LongTermStack, timing: Timing) -> float:
    """Kill and start each part between equally long phases; return the number of samples that were sent again."""
    phase = (timing.duration - len(PARTS) * timing.outage) / (len(PARTS) + 1)
    retried = 0.0
    for part in PARTS:
        _evaluate_for(phase, stack, timing)
        print(f"{part} killed", file=sys.stderr, flush=True)
        stack.kill(part)
        _evaluate_for(timing.outage, stack, timing, down=part)
        if part == "store":
            retried = stack.retried()
        stack.start(part)
    _evaluate_for(phase, stack, timing)
    return retried


def _evaluate_for(seconds: float, stack: LongTermStack, timing: Timing, *, down: Part | None = None) -> None:
    """Request evaluations for some time, and at least until the next one has ended, unless the exporter is down."""
    started = time.monotonic()
    evaluated = stack.evaluations()
    requests = 0
    while (now := time.monotonic() - started) < seconds or (down != "exporter" and stack.evaluations() == evaluated):
        if now >= requests * timing.evaluation:
            stack.evaluate()
            requests += 1
        if now > seconds + PATIENCE:
            raise AssertionError(f"no evaluation within {PATIENCE:g} s")
        time.sleep(0.05)


def create_blocks(export: Path, data: Path) -> None:
    """Import an export of the history into Prometheus."""
    blocks = ["promtool", "tsdb", "create-blocks-from", "openmetrics", str(export), str(data)]
    subprocess.run(blocks, check=True, capture_output=True)


def history(stack: LongTermStack, command: str, *flags: str) -> subprocess.CompletedProcess[str]:
    """Run a command of `starlight history` with the history and labels of the stack."""
    source = f"--config.file={stack.folder / 'starlight.yml'}"
    words = [sys.executable, "-m", "starlight_exporter.cli.main", "history", command, source, *stack.labels, *flags]
    return subprocess.run(words, check=False, capture_output=True, text=True)


def _has_imported(stack: LongTermStack, server: QueryServer) -> bool:
    return ", 0 scraped, 0 missing)" in history(stack, "verify", f"--prometheus={server.url}").stdout


def rendered(report: Report, timing: Timing) -> str:
    """Return the report as Markdown."""
    rows = (
        ("evaluations in the history", report.before.history, report.after.history),
        ("evaluations in Prometheus", report.before.prometheus, report.after.prometheus),
        ("evaluations in VictoriaMetrics", report.before.store, report.after.store),
        ("samples in Prometheus", report.before.prometheus_samples, report.after.prometheus_samples),
        ("samples in VictoriaMetrics", report.before.store_samples, report.after.store_samples),
        ("repeated samples in VictoriaMetrics", report.before.repeated_samples, report.after.repeated_samples),
    )
    lines = [
        "# Long-term storage with kills",
        "",
        f"{timing.duration / 60:g} minutes, evaluations every {timing.evaluation:g} s, scrapes every"
        f" {timing.scrape:g} s. Exporter, Prometheus and VictoriaMetrics were killed once each and down for"
        f" {timing.outage:g} s. Written by `python -m benchmarks.long_term`; {machine()}.",
        "",
        "| | at the end | after import and copy |",
        "|---|---:|---:|",
        *(f"| {name} | {before:,} | {after:,} |" for name, before, after in rows),
        "",
        f"Samples that Prometheus sent again while VictoriaMetrics was down: {report.retried:,.0f}.",
        f"`starlight history verify`: {report.verification.splitlines()[-1]}.",
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    raise SystemExit(main())
