"""Steps of the wall clock while the exporter runs: watching and schedule go on, ages stay sane, the log stays short."""

from __future__ import annotations

import itertools
import json
import shutil
import time
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from typing import Final

import pytest

from attacks.outcome import Outcome, Requirement, at_most, none_of
from support.exporter import Exporter, write_config
from support.models import write_constant_model
from support.stored import history_records

STEPS: Final = {"-1 h": -3600, "+1 h": 3600, "+1 year": 365 * 86_400, "-1 day": -86_400}
LONGEST: Final = 60.0
_INTERVAL: Final = 10
_STEGO: Final = 10
_LIBRARIES: Final = ("/usr/lib/*/faketime/libfaketime.so.1", "/usr/lib/faketime/libfaketime.so.1")


def attack(folder: Path, steps: Collection[str]) -> Outcome:
    """Step the clock in these ways (keys of STEPS), then start again with a result that is dated in the future."""
    stock = [write_constant_model(folder / "stock" / f"{logit}.onnx", logit=logit) for logit in (-4.0, 4.0)]
    offset = folder / "offset"
    environment = _fake_clock(offset)
    config = write_config(folder, schedule={"interval": f"{_INTERVAL}s"}, latency={"sample": 0})
    slowest: dict[str, float] = {}
    unscheduled, strange_ages, most_lines = [], [], 0
    with Exporter(config, environment=environment) as exporter:
        exporter.wait_for_value(0, "detections", model="production", method="lsb")
        for number, name in enumerate(steps, 1):
            lines = len(exporter.log.read_text().splitlines())
            _step(offset, STEPS[name])
            exporter.wait_for_value(float(number), "clock_steps_total")
            began = time.monotonic()
            shutil.copy(stock[number % 2], folder / "models" / "new")
            (folder / "models" / "new").rename(folder / "models" / "model.onnx")
            expected = _STEGO * (number % 2)
            exporter.wait_until(lambda: exporter.total("detections") == expected, name, timeout=LONGEST * 3)  # noqa: B023
            slowest[name] = time.monotonic() - began
            scheduled = exporter.total("evaluations_total", outcome="success")
            began = time.monotonic()
            try:
                exporter.wait_until(
                    lambda: exporter.total("evaluations_total", outcome="success") > scheduled,  # noqa: B023
                    name,
                    timeout=_INTERVAL * 4,
                )
            except AssertionError:
                unscheduled.append(name)
            age = exporter.value("evaluation_age_seconds", model="production")
            if age is None or not 0 <= age <= _INTERVAL * 4:
                strange_ages.append(f"{name}: {age}")
            most_lines = max(most_lines, len(exporter.log.read_text().splitlines()) - lines)
        _step(offset, STEPS["+1 year"])
        shown = exporter.total("evaluations_total", outcome="success")
        exporter.wait_until(lambda: exporter.total("evaluations_total", outcome="success") > shown, "a future result")
        exporter.stop()
    _step(offset, 0)
    future = [record for record in history_records(folder / "data") if record["finished_at"] > time.time() + 3600]
    config = write_config(folder, schedule={"interval": "1h"}, latency={"sample": 0})
    with Exporter(config, environment=environment) as exporter:
        again = 0.0
        with suppress(AssertionError):
            again = exporter.wait_until(
                lambda: exporter.total("evaluations_total", outcome="success") or None, "a result", timeout=LONGEST
            )
    ids = [json.dumps(record["id"]) for record in history_records(folder / "data")]
    return Outcome(
        "Clock steps",
        ", ".join(steps),
        (
            at_most("changed model displayed after each step after", max(slowest.values()), LONGEST, "s"),
            none_of("steps after which no scheduled evaluation followed", unscheduled),
            none_of("ages outside of 0 to four intervals", strange_ages),
            at_most("most log lines per step", most_lines, 60, "lines"),
            none_of("ids stored twice", [one for one, group in itertools.groupby(sorted(ids)) if len(list(group)) > 1]),
            Requirement(
                "a result that is dated in the future is evaluated again at the start",
                f"{len(future)} such results, {again:.0f} evaluation",
                bool(future) and again >= 1,
            ),
        ),
    )


def _step(offset: Path, seconds: int) -> None:
    new = offset.with_name("offset.new")
    new.write_text(f"{seconds:+d}\n")
    new.rename(offset)


def _fake_clock(offset: Path) -> dict[str, str]:
    """Return the environment for a wall clock that is offset by the seconds in a file. Skip without libfaketime."""
    library = next((str(file) for pattern in _LIBRARIES for file in Path("/").glob(pattern[1:])), None)
    if library is None:
        pytest.skip("libfaketime is not installed")
    _step(offset, 0)
    return {
        "LD_PRELOAD": library,
        "FAKETIME_TIMESTAMP_FILE": str(offset),
        "FAKETIME_NO_CACHE": "1",
        "DONT_FAKE_MONOTONIC": "1",
        "NO_FAKE_STAT": "1",
    }
