"""Scheduler: intervals, cron expressions, changes of the clock, and jobs that fail or take long."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
import structlog

from starlight_exporter.config import ScheduleConfig
from starlight_exporter.runs.scheduler import CronTimer, IntervalTimer, Scheduler, interval_seconds

DAY = 86400.0
WAIT = 60.0


class WallClock:
    def __init__(self) -> None:
        self.now = datetime(2026, 1, 1, 2, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def step(self, hours: float) -> None:
        self.now += timedelta(hours=hours)


class MonotonicClock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def scheduler() -> Iterator[Scheduler]:
    made = Scheduler()
    yield made
    made.stop()


def schedule(**fields: str) -> ScheduleConfig:
    return ScheduleConfig.model_validate(fields)


@pytest.mark.parametrize(
    ("fields", "seconds"),
    [
        ({"interval": "15m"}, 900.0),
        ({"cron": "*/10 * * * *"}, 600.0),
        ({"cron": "0 3 * * *"}, DAY),
        ({"cron": "0 3 * * 1"}, 7 * DAY),
        ({"cron": "0 3 * * mon-fri"}, 3 * DAY),
        ({"cron": "0 8,20 * * *"}, 12 * 3600.0),
        ({"cron": "0 9-17 * * *"}, 16 * 3600.0),
        ({"cron": "0 0 1 * *"}, 31 * DAY),
    ],
)
def test_interval_of_a_schedule_is_the_longest_between_two_runs(fields: dict[str, str], seconds: float) -> None:
    assert interval_seconds(schedule(**fields)) == seconds


def test_interval_is_first_due_after_one_interval_and_keeps_its_phase() -> None:
    clock = MonotonicClock()
    timer = IntervalTimer(10.0, clock)
    assert timer.seconds_left() == 10.0
    clock.now += 12.0
    assert timer.seconds_left() == -2.0
    timer.advance()
    assert timer.seconds_left() == 8.0


def test_missed_intervals_are_coalesced_into_one_run() -> None:
    clock = MonotonicClock()
    timer = IntervalTimer(10.0, clock)
    clock.now += 1000.0
    assert timer.seconds_left() < 0
    timer.advance()
    assert timer.seconds_left() == 10.0


def test_cron_is_due_at_its_time_in_utc() -> None:
    clock = WallClock()
    timer = CronTimer("30 3 * * *", clock)
    assert timer.seconds_left() == 1.5 * 3600
    clock.step(1.5)
    assert timer.seconds_left() == 0
    timer.advance()
    assert timer.seconds_left() == DAY


def test_missed_cron_times_are_coalesced_into_one_run() -> None:
    clock = WallClock()
    timer = CronTimer("0 * * * *", clock)
    clock.step(10.5)
    assert timer.seconds_left() < 0
    timer.advance()
    assert timer.seconds_left() == 1800.0


def test_cron_follows_a_wall_clock_that_is_set_back() -> None:
    clock = WallClock()
    clock.step(24 * 365)
    timer = CronTimer("0 3 * * *", clock)
    clock.step(-24 * 365)
    assert timer.seconds_left() == 3600.0


def test_job_runs_repeatedly_and_never_concurrently(scheduler: Scheduler) -> None:
    running, concurrent, runs = threading.Lock(), threading.Event(), threading.Semaphore(0)

    def job() -> None:
        if not running.acquire(blocking=False):
            concurrent.set()
            return
        # Longer than the interval.
        concurrent.wait(0.05)
        running.release()
        runs.release()

    scheduler.run_every("watch", 0.01, job)
    scheduler.start()
    for _ in range(3):
        assert runs.acquire(timeout=WAIT)
    assert not concurrent.is_set()


def test_job_that_takes_long_does_not_delay_another(scheduler: Scheduler) -> None:
    release, runs = threading.Event(), threading.Semaphore(0)

    def slow_job() -> None:
        release.wait(WAIT)

    scheduler.run_every("storage", 0.01, slow_job)
    scheduler.run_every("watch", 0.01, runs.release)
    scheduler.start()
    for _ in range(3):
        assert runs.acquire(timeout=WAIT)
    release.set()


def test_replaced_job_does_not_run_again(scheduler: Scheduler) -> None:
    old, new = threading.Semaphore(0), threading.Semaphore(0)
    scheduler.run_every("evaluate", 0.05, old.release)
    scheduler.start()
    assert old.acquire(timeout=WAIT)
    scheduler.run_every("evaluate", 0.05, new.release)
    assert new.acquire(timeout=WAIT)
    while old.acquire(blocking=False):
        pass
    assert new.acquire(timeout=WAIT)
    assert not old.acquire(blocking=False)


def test_job_added_after_start_runs(scheduler: Scheduler) -> None:
    runs = threading.Semaphore(0)
    scheduler.start()
    scheduler.run_every("watch", 0.01, runs.release)
    assert runs.acquire(timeout=WAIT)


def test_configured_interval_and_cron_are_scheduled(scheduler: Scheduler) -> None:
    for fields in ({"interval": "10s"}, {"cron": "0 3 * * 1"}):
        scheduler.run_by("evaluate", schedule(**fields), lambda: None)
        timer = scheduler._jobs["evaluate"]._timer
        assert isinstance(timer, CronTimer if "cron" in fields else IntervalTimer)
        assert 0 < timer.seconds_left() <= (7 * DAY if "cron" in fields else 10.0)


def test_failed_job_is_logged_and_runs_again(scheduler: Scheduler) -> None:
    runs = threading.Semaphore(0)

    def job() -> None:
        runs.release()
        raise RuntimeError("no such disk")

    with structlog.testing.capture_logs() as logs:
        scheduler.run_every("watch", 0.01, job)
        scheduler.start()
        for _ in range(3):
            assert runs.acquire(timeout=WAIT)
        scheduler.stop()
    failed = [event for event in logs if event["event"] == "scheduled job failed"]
    assert len(failed) >= 2
    assert {event["log_level"] for event in failed} == {"error"}
    assert failed[0]["job"] == "watch"
    assert failed[0]["reason"] == "RuntimeError('no such disk')"
    assert failed[0]["exc_info"]


def test_stop_waits_for_a_running_job(scheduler: Scheduler) -> None:
    began, stopping, ended = threading.Event(), threading.Event(), threading.Event()

    def job() -> None:
        began.set()
        assert stopping.wait(WAIT)
        ended.set()

    def stop() -> None:
        scheduler.stop()
        assert ended.is_set()

    scheduler.run_every("storage", 0.01, job)
    scheduler.start()
    assert began.wait(WAIT)
    stopper = threading.Thread(target=stop)
    stopper.start()
    assert stopper.is_alive()
    stopping.set()
    stopper.join(WAIT)
    assert ended.is_set()


def test_stop_without_start_does_nothing(scheduler: Scheduler) -> None:
    scheduler.run_every("storage", 0.01, lambda: None)
    scheduler.stop()
    scheduler.stop()
