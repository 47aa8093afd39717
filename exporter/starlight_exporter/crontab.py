"""Five cron fields in UTC, with weekdays as every crontab counts them: 0 and 7 are Sunday."""

from __future__ import annotations

import re
from datetime import UTC

from apscheduler.triggers.cron import CronTrigger

_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_DAY = rf"[0-7]|{'|'.join(_DAYS)}"
_PART = re.compile(rf"(?:(?P<single>{_DAY})|(?:\*|(?P<first>{_DAY})-(?P<last>{_DAY}))(?:/(?P<step>[1-7]))?)")


def cron_trigger(text: str) -> CronTrigger:
    """The times of five cron fields in UTC; ValueError if they are none.

    Day and weekday both have to fit where both are given.
    """
    fields = text.split()
    if len(fields) == 5:
        # APScheduler counts numbers and steps from Monday, and drops a step behind names; names alone mean the same.
        fields[4] = ",".join(_DAYS[day] for day in sorted(_weekdays(fields[4])))
    return CronTrigger.from_crontab(" ".join(fields), timezone=UTC)


def _weekdays(field: str) -> set[int]:
    """The days of a weekday field, Sunday as 0."""
    return {day % 7 for part in field.lower().split(",") for day in _days_of(part)}


def _days_of(part: str) -> range:
    match = _PART.fullmatch(part)
    if match is None:
        raise ValueError(
            f"no weekdays: {part!r}; expected *, days 0 to 7 or sun to sat, ranges such as mon-fri, steps such as */2"
        )
    if match["single"] is not None:
        return range(_number(match["single"]), _number(match["single"]) + 1)
    first, last = _number(match["first"] or "sun"), _number(match["last"] or "sat")
    if last == 0 < first:
        # A week that ends on Sunday.
        last = 7
    if first > last:
        raise ValueError(f"no weekdays: {part!r} ends before it starts")
    return range(first, last + 1, int(match["step"] or 1))


def _number(day: str) -> int:
    return _DAYS.index(day) if day in _DAYS else int(day)
