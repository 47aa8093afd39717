"""The clock of the process: APScheduler with misses and failures told instead of swallowed."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from datetime import UTC, datetime

import structlog
from apscheduler.events import EVENT_JOB_ERROR, EVENT_JOB_MISSED, JobExecutionEvent
from apscheduler.schedulers.background import BackgroundScheduler

from starlight_exporter.config import ScheduleConfig
from starlight_exporter.crontab import cron_trigger

_log = structlog.get_logger(__name__)

GRACE_SECONDS = 3600
"""A job that is late by less is still run, once: the default of one second would drop it silently."""


class Scheduler:
    """Periodic jobs, each at most once at a time; a rescheduled job keeps its name."""

    def __init__(self) -> None:
        self._scheduler = BackgroundScheduler(
            timezone=UTC,
            job_defaults={"coalesce": True, "max_instances": 1, "misfire_grace_time": GRACE_SECONDS},
        )
        self._scheduler.add_listener(_tell, EVENT_JOB_ERROR | EVENT_JOB_MISSED)

    def start(self) -> None:
        """Begin."""
        self._scheduler.start()

    def stop(self) -> None:
        """End; a job that runs is waited for."""
        if self._scheduler.running:
            self._scheduler.shutdown()

    def every(self, name: str, seconds: float, job: Callable[[], None]) -> None:
        """Run a job every so many seconds, the first time after that long."""
        self._scheduler.add_job(job, "interval", seconds=seconds, id=name, replace_existing=True)

    def by(self, name: str, schedule: ScheduleConfig, job: Callable[[], None]) -> None:
        """Run a job by a configured interval or cron expression (UTC)."""
        if schedule.interval is not None:
            self.every(name, schedule.interval, job)
        elif schedule.cron is not None:
            self._scheduler.add_job(job, cron_trigger(schedule.cron), id=name, replace_existing=True)


def interval_seconds(schedule: ScheduleConfig) -> float:
    """The time between two scheduled runs; of a cron expression, the longest one among the next 50."""
    if schedule.cron is None:
        return float(schedule.interval or 0.0)
    trigger = cron_trigger(schedule.cron)
    times = [trigger.get_next_fire_time(None, datetime.now(UTC))]
    while len(times) < 50 and times[-1] is not None:
        times.append(trigger.get_next_fire_time(times[-1], times[-1]))
    known = [time for time in times if time is not None]
    gaps = [(after - before).total_seconds() for before, after in itertools.pairwise(known)]
    return max(gaps, default=366 * 86400.0)


def _tell(event: JobExecutionEvent) -> None:
    if event.code == EVENT_JOB_MISSED:
        _log.warning("scheduled job missed", job=event.job_id, scheduled_at=str(event.scheduled_run_time))
    else:
        _log.error("scheduled job failed", job=event.job_id, reason=repr(event.exception), traceback=event.traceback)
