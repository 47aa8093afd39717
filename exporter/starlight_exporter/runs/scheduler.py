"""Periodic jobs: intervals on the monotonic clock, cron expressions on the wall clock (UTC)."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Final, Protocol

import structlog
from cronsim import CronSim

from starlight_exporter.config import ScheduleConfig

_log = structlog.get_logger(__name__)

CLOCK_CHECK_SECONDS: Final = 30.0
"""Longest wait between two readings of the clock, so that a step of the wall clock is noticed."""


class Timer(Protocol):
    """When a job is due."""

    def seconds_left(self) -> float:
        """Return the time until the job is due; zero or less if it is due."""

    def advance(self) -> None:
        """Set the next time; times that were missed are skipped."""


class IntervalTimer:
    """Due every `seconds`, for the first time after one interval."""

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds = seconds
        self._clock = clock
        self._due = clock() + seconds

    def seconds_left(self) -> float:
        """Return the time until the job is due."""
        return self._due - self._clock()

    def advance(self) -> None:
        """Add one interval, or start a new one if that time has passed as well."""
        now = self._clock()
        self._due = self._due + self._seconds if self._due + self._seconds > now else now + self._seconds


class CronTimer:
    """Due at the times of a cron expression with five fields."""

    def __init__(self, expression: str, clock: Callable[[], datetime] = lambda: datetime.now(UTC)) -> None:
        self._expression = expression
        self._clock = clock
        self._due = self._next()

    def seconds_left(self) -> float:
        """Return the time until the job is due, on the wall clock as it is now."""
        # The clock may have been set back since the last call.
        self._due = min(self._due, self._next())
        return (self._due - self._clock()).total_seconds()

    def advance(self) -> None:
        """Take the next time of the expression that has not passed."""
        self._due = self._next()

    def _next(self) -> datetime:
        return next(CronSim(self._expression, self._clock()))


class Scheduler:
    """Runs each job in a thread of its own: at most one instance at a time, missed runs coalesced into one."""

    def __init__(self) -> None:
        self._jobs: dict[str, _Job] = {}
        self._started = False

    def start(self) -> None:
        """Start the threads of all jobs."""
        self._started = True
        for job in self._jobs.values():
            job.start()

    def stop(self, seconds: float = 10.0) -> None:
        """Stop all jobs; wait for those that are running, but not for one that is blocked by the file system."""
        deadline = time.monotonic() + seconds
        for job in self._jobs.values():
            job.stop()
        for job in self._jobs.values():
            job.join(max(0.0, deadline - time.monotonic()))

    def run_every(self, name: str, seconds: float, action: Callable[[], None]) -> None:
        """Add or replace a job that runs every `seconds`, for the first time after that interval."""
        self._set(name, IntervalTimer(seconds), action)

    def run_by(self, name: str, schedule: ScheduleConfig, action: Callable[[], None]) -> None:
        """Add or replace a job that runs at a configured interval or by a cron expression."""
        timer = IntervalTimer(schedule.interval or 0.0) if schedule.cron is None else CronTimer(schedule.cron)
        self._set(name, timer, action)

    def _set(self, name: str, timer: Timer, action: Callable[[], None]) -> None:
        if name in self._jobs:
            self._jobs[name].replace(timer, action)
            return
        self._jobs[name] = _Job(name, timer, action)
        if self._started:
            self._jobs[name].start()


class _Job:
    def __init__(self, name: str, timer: Timer, action: Callable[[], None]) -> None:
        self._name = name
        self._timer = timer
        self._action = action
        self._changed = threading.Condition()
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name=f"job {name}", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def replace(self, timer: Timer, action: Callable[[], None]) -> None:
        with self._changed:
            self._timer, self._action = timer, action
            self._changed.notify()

    def stop(self) -> None:
        with self._changed:
            self._stopping = True
            self._changed.notify()

    def join(self, seconds: float) -> None:
        if self._thread.is_alive():
            self._thread.join(seconds)

    def _run(self) -> None:
        while (action := self._wait()) is not None:
            try:
                action()
            except Exception as error:  # noqa: BLE001  # thread boundary: the job runs again at its next time
                _log.exception("scheduled job failed", job=self._name, reason=repr(error))

    def _wait(self) -> Callable[[], None] | None:
        """Wait until the job is due and return its action; None when the job is stopped."""
        with self._changed:
            while not self._stopping:
                seconds = self._timer.seconds_left()
                if seconds <= 0:
                    self._timer.advance()
                    return self._action
                self._changed.wait(min(seconds, CLOCK_CHECK_SECONDS))
        return None


def interval_seconds(schedule: ScheduleConfig) -> float:
    """Return the time between two scheduled runs; for a cron expression, the longest of the next 50 intervals."""
    if schedule.cron is None:
        return float(schedule.interval or 0.0)
    times = list(itertools.islice(CronSim(schedule.cron, datetime.now(UTC)), 51))
    return max((after - before).total_seconds() for before, after in itertools.pairwise(times))
