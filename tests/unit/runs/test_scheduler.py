"""The clock: what runs when, and what is told of jobs that fail."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest
import structlog

from starlight_exporter.config import ScheduleConfig
from starlight_exporter.runs.scheduler import Scheduler, interval_seconds

DAY = 86400.0


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
def test_the_time_between_two_runs_is_the_longest_of_the_schedule(fields: dict[str, str], seconds: float) -> None:
    assert interval_seconds(schedule(**fields)) == seconds


def test_a_job_runs_again_and_again_and_never_beside_itself(scheduler: Scheduler) -> None:
    running, together, runs = threading.Lock(), threading.Event(), threading.Semaphore(0)

    def job() -> None:
        if not running.acquire(blocking=False):
            together.set()
            return
        time.sleep(0.12)
        running.release()
        runs.release()

    scheduler.every("watch", 0.05, job)
    scheduler.start()
    for _ in range(3):
        assert runs.acquire(timeout=10)
    assert not together.is_set()


def test_a_rescheduled_job_takes_the_place_of_the_one_before(scheduler: Scheduler) -> None:
    old, new = threading.Semaphore(0), threading.Semaphore(0)
    scheduler.every("evaluate", 0.05, old.release)
    scheduler.start()
    assert old.acquire(timeout=10)
    scheduler.every("evaluate", 0.05, new.release)
    assert new.acquire(timeout=10)
    while old.acquire(blocking=False):
        pass
    assert new.acquire(timeout=10)
    assert not old.acquire(blocking=False)


def test_a_cron_schedule_runs_on_the_minute_in_utc(scheduler: Scheduler) -> None:
    scheduler.by("evaluate", schedule(cron="0 3 * * 1"), lambda: None)
    scheduler.start()
    job = scheduler._scheduler.get_job("evaluate")
    assert f"{job.next_run_time:%a %H:%M:%S %z}" == "Mon 03:00:00 +0000"


def test_an_interval_runs_for_the_first_time_after_that_long(scheduler: Scheduler) -> None:
    scheduler.by("evaluate", schedule(interval="10s"), lambda: None)
    scheduler.start()
    job = scheduler._scheduler.get_job("evaluate")
    assert job.next_run_time.timestamp() == pytest.approx(time.time() + 10, abs=2)


def test_a_job_that_fails_is_told_and_runs_again(scheduler: Scheduler) -> None:
    runs = threading.Semaphore(0)

    def job() -> None:
        runs.release()
        raise RuntimeError("the disk is gone")

    with structlog.testing.capture_logs() as told:
        scheduler.every("watch", 0.05, job)
        scheduler.start()
        for _ in range(3):
            assert runs.acquire(timeout=10)
        scheduler.stop()
    failed = [event for event in told if event["event"] == "scheduled job failed"]
    assert len(failed) >= 2
    assert {event["log_level"] for event in failed} == {"error"}
    assert failed[0]["job"] == "watch"
    assert failed[0]["reason"] == "RuntimeError('the disk is gone')"
    assert "in job" in failed[0]["traceback"]


def test_stop_waits_for_the_job_that_runs(scheduler: Scheduler) -> None:
    began, ended = threading.Event(), threading.Event()

    def job() -> None:
        began.set()
        time.sleep(0.3)
        ended.set()

    scheduler.every("storage", 0.01, job)
    scheduler.start()
    assert began.wait(10)
    scheduler.stop()
    assert ended.is_set()


def test_stop_before_start_does_nothing(scheduler: Scheduler) -> None:
    scheduler.stop()
    scheduler.stop()
