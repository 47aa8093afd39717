"""Build a day of scrapes from recorded evaluation cycles and write it to the storage of a Prometheus server.

Values are the recorded ones, repeated at each scheduled evaluation. Timestamps move to the time of the evaluation, and
counters increase in each cycle by the recorded increase.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from preview.incident import Cycle, Phase, Recording, Scrape, Series

from starlight_exporter.publish.exposition import label_text, number_text
from support.servers import run_tool

SCRAPE_SECONDS: Final = 60
EVALUATION_SECONDS: Final = 15 * 60
BLOCK_SECONDS: Final = 2 * 3600
TARGET: Final = {"job": "starlight-exporter", "instance": "127.0.0.1:9877"}
_GROWING: Final = "starlight_storage_size_bytes"
_RUNNING: Final = (
    "starlight_evaluation_in_progress",
    "starlight_evaluation_progress_ratio",
    "starlight_evaluation_remaining_seconds",
    "starlight_evaluations_queued",
)

Sample = tuple[Series, float, float]
"""Series, UTC seconds and value."""


@dataclass(frozen=True, slots=True)
class Timeline:
    """Start and end of the history and of the incident in it, in UTC seconds on full minutes."""

    start: int
    deployed: int
    restored: int
    end: int

    def phase(self, at: float) -> Phase:
        """Return the phase at a time."""
        return "before" if at < self.deployed else "incident" if at < self.restored else "after"

    def evaluations(self) -> list[int]:
        """Return the times at which evaluations end: by schedule and one minute after each change of the model."""
        # A period that is no multiple of the scrape interval lets scrapes meet evaluations at different stages.
        scheduled = range(self.start, self.end, EVALUATION_SECONDS + 7)
        return sorted({*scheduled, self.deployed + 60, self.restored + 60})


def scrapes(timeline: Timeline, recorded: Recording) -> Iterator[tuple[int, dict[Series, float]]]:
    """Yield the time and the samples of every scrape of the history."""
    playback = _Playback(recorded)
    upcoming = deque(timeline.evaluations())
    for at in range(timeline.start, timeline.end + 1, SCRAPE_SECONDS):
        while upcoming and upcoming[0] <= at:
            end = upcoming.popleft()
            playback.advance(timeline.phase(end), end)
        values = dict(playback.values)
        if upcoming:
            values |= playback.running(timeline.phase(upcoming[0]), upcoming[0] - at)
        yield at, values | playback.scrape_metrics(len(values))


class _Playback:
    """The values of the exporter at the current position in the history."""

    def __init__(self, recorded: Recording) -> None:
        self._recorded = recorded
        self._counters = dict(recorded["before"][0].finished.counters)
        self._timestamps: dict[Series, float] = {}
        self._phase: Phase = "before"
        self._played = 0
        self._durations = itertools.cycle(
            [scrape.duration for cycles in recorded.values() for cycle in cycles for scrape in cycle.running]
        )
        self.values: dict[Series, float] = {}

    def advance(self, phase: Phase, at: float) -> None:
        """Finish the next evaluation cycle of a phase at this time."""
        self._played = self._played + 1 if phase == self._phase else 0
        self._phase = phase
        cycle, previous = self._cycle(phase, self._played)
        current = cycle.finished
        for series, value in current.counters.items():
            increase = value - previous.counters.get(series, 0.0)
            self._counters[series] = self._counters.get(series, 0.0) + max(0.0, increase)
        gauges = dict(current.gauges)
        for series, value in gauges.items():
            if series[0].endswith(("_timestamp_seconds", "_start_time_seconds")):
                if value > previous.at or series not in self._timestamps:
                    self._timestamps[series] = at - (current.at - value)
                gauges[series] = self._timestamps[series]
            elif series[0] == _GROWING:
                # Repeated cycles would let the size drop.
                gauges[series] = max(value, self.values.get(series, 0.0))
        self.values = gauges | {series: self._counters[series] for series in current.counters}

    def running(self, phase: Phase, seconds_left: float) -> dict[Series, float]:
        """Return the metrics of the next evaluation this many seconds before it ends, if it has started by then."""
        cycle, _ = self._cycle(phase, self._played + 1 if phase == self._phase else 0)
        if not cycle.running or seconds_left > cycle.finished.at - cycle.running[0].at:
            return {}
        nearest = min(cycle.running, key=lambda scrape: abs(cycle.finished.at - scrape.at - seconds_left))
        return {series: value for series, value in nearest.gauges.items() if series[0] in _RUNNING}

    def scrape_metrics(self, samples: int) -> dict[Series, float]:
        """Return what Prometheus itself records for a scrape."""
        return {
            ("up", ()): 1.0,
            ("scrape_duration_seconds", ()): next(self._durations),
            ("scrape_samples_scraped", ()): float(samples),
        }

    def _cycle(self, phase: Phase, number: int) -> tuple[Cycle, Scrape]:
        """Return a recorded cycle and the scrape before it; repetitions are reused in turn."""
        cycles = self._recorded[phase]
        place = number if number == 0 else 1 + (number - 1) % (len(cycles) - 1)
        if place:
            return cycles[place], cycles[place - 1].finished
        phases: Sequence[Phase] = ("before", "incident", "after")
        if phase == "before":
            return cycles[0], cycles[0].finished
        return cycles[0], self._recorded[phases[phases.index(phase) - 1]][-1].finished


def write_scrapes(data: Path, history: Iterable[tuple[int, Mapping[Series, float]]]) -> None:
    """Write scrapes to the storage folder of a Prometheus server that is not running."""
    for _, block in itertools.groupby(history, lambda scraped: scraped[0] // BLOCK_SECONDS):
        write_samples(
            data,
            ((_with_target(series), at, value) for at, values in block for series, value in values.items()),
        )


def write_samples(data: Path, samples: Iterable[Sample]) -> None:
    """Write samples to the storage folder of a Prometheus server that is not running."""
    by_series: dict[Series, list[tuple[float, float]]] = {}
    for series, at, value in samples:
        by_series.setdefault(series, []).append((at, value))
    text = data.with_suffix(".openmetrics")
    with text.open("w") as file:
        for (name, labels), points in sorted(by_series.items()):
            selector = f"{name}{label_text(dict(labels))}"
            file.writelines(f"{selector} {number_text(value)} {at:.3f}\n" for at, value in points)
        file.write("# EOF\n")
    code, output = run_tool(
        ["promtool", "tsdb", "create-blocks-from", "openmetrics", str(text), str(data)], timeout=600
    )
    text.unlink()
    if code:
        raise RuntimeError(f"promtool: {output}")


def _with_target(series: Series) -> Series:
    name, labels = series
    return name, tuple(sorted({**dict(labels), **TARGET}.items()))
