"""No wrong system clock, ahead or behind, makes compaction remove a record that is younger than the age."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from starlight_exporter.publish.boot_clock import BootClock, confirmed_ages, parse_boot_clock, read_boot_clock
from starlight_exporter.publish.compaction import DAY, CompactionPlan, plan_compaction, read_records, remove_records
from starlight_exporter.publish.history import History
from support.snapshots import full_evaluation

AGE = 30 * DAY
START = 20_000.0 * DAY
HOUR = DAY / 24


@dataclass
class World:
    """A history on machines with one true time. `error` is what the system clock is ahead, in seconds."""

    path: Path
    now: float = START
    error: float = 0.0
    machine: int = 0
    started: list[float] = field(default_factory=lambda: [START, START])
    boots: int = 2
    ids: list[int] = field(default_factory=lambda: [0, 1])
    stored: list[float] = field(default_factory=list)

    @property
    def boot_clock(self) -> BootClock:
        """The reading of the machine that runs the exporter."""
        return BootClock(f"boot-{self.ids[self.machine]}", self.now - self.started[self.machine])

    def restart(self) -> None:
        """Start the machine again."""
        self.ids[self.machine], self.started[self.machine] = self.boots, self.now
        self.boots += 1

    def store(self, *, reading: bool = True) -> None:
        """Append a record with the parts that compaction reads."""
        specification = {"model_sha256": "a", "decision": "d", "dataset_fingerprint": "f"}
        record: dict[str, object] = {"schema": 1, "model": "m", "dataset": "d", "provenance": specification}
        record |= {"id": len(self.stored), "finished_at": self.now + self.error}
        if reading:
            record["boot_clock"] = asdict(self.boot_clock)
        with self.path.open("a") as file:
            file.write(json.dumps(record) + "\n")
        self.stored.append(self.now)

    def compact(self, *, trust_dates: bool = False) -> CompactionPlan:
        """Compact with the system clock of the machine."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(time, "time", lambda: self.now + self.error)
            plan = plan_compaction([self.path], AGE, now=self.boot_clock, trust_dates=trust_dates)
        assert remove_records(plan.files[0])
        return plan

    def left(self) -> list[int]:
        """Return the numbers of the records in the file."""
        return [json.loads(line)["id"] for line in self.path.read_text().splitlines()]


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path / "history.jsonl")


ACTIONS: dict[str, Callable[[World], object]] = {
    "store": World.store,
    "store without a reading": lambda world: world.store(reading=False),
    "compact": World.compact,
    "restart": World.restart,
    "move": lambda world: setattr(world, "machine", 1 - world.machine),
}
ERRORS = st.one_of(st.none(), st.just(0.0), st.floats(-3_000 * DAY, 3_000 * DAY))
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["store", "store", "store", "compact", *ACTIONS]),
        st.sampled_from([0.0, HOUR, DAY, 20 * DAY]),
        ERRORS,
    ),
    max_size=40,
)
AHEAD_WHILE_STORED = [("store", HOUR, None)] * 5 + [("store", HOUR, 1_000 * DAY), ("compact", HOUR, None)]


@given(STEPS)
@example(AHEAD_WHILE_STORED)
@settings(max_examples=80, deadline=None)
@pytest.mark.slow
def test_no_step_of_the_system_clock_removes_a_record_younger_than_the_age(
    steps: list[tuple[str, float, float | None]],
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        world = World(Path(folder) / "history.jsonl")
        world.store()
        for action, passed, error in steps:
            world.now += passed
            world.error = world.error if error is None else error
            before = world.left()
            ACTIONS[action](world)
            removed = set(before) - set(world.left())
            assert all(world.now - world.stored[number] >= AGE for number in removed)
            assert (len(world.stored) - 1) in world.left()


def run(world: World, days: int) -> None:
    """Store a record every six hours, and restart the machine every ten days."""
    for number in range(4 * days):
        world.now += 6 * HOUR
        if number % 40 == 39:
            world.restart()
        world.store()


def test_a_right_clock_thins_out_all_old_days(world: World) -> None:
    run(world, 100)
    trusted = World(world.path.with_name("trusted.jsonl"), now=world.now)
    trusted.path.write_bytes(world.path.read_bytes())
    plan, expected = world.compact(), trusted.compact(trust_dates=True)
    # Of each restart, the time since the record before it is not counted: six hours.
    assert 0 <= expected.records - plan.records == plan.unconfirmed <= 4 * 3
    assert plan.records > 180
    assert world.compact().records == 0


def test_unconfirmed_records_are_kept_with_a_reason(world: World) -> None:
    run(world, 3)
    world.error = 1_000 * DAY
    world.store()
    plan = world.compact()
    assert (plan.records, plan.unconfirmed) == (0, 8)
    assert plan.reason == "a wrong system clock is possible: the uptime of the machine confirms only 3 d"


def test_one_record_per_boot_confirms_no_age(world: World) -> None:
    for _ in range(40):
        world.restart()
        world.store()
        world.now += 12 * HOUR
    world.now += 2 * AGE
    world.restart()
    plan = world.compact()
    assert (plan.records, plan.unconfirmed, plan.confirmed_age) == (0, 19, 0)


def test_records_with_dates_in_the_future_are_kept_with_a_reason(world: World) -> None:
    world.error = 3_650 * DAY
    run(world, 2)
    world.error = 0.0
    world.now += 200 * DAY
    world.store()
    plan = world.compact()
    assert (plan.records, plan.unconfirmed, plan.future) == (0, 0, 8)
    assert plan.future_reason == "the system clock was ahead when they were stored, or is behind now"
    world.error = -world.now
    assert world.compact(trust_dates=True).future == 9


def test_right_clock_has_no_records_in_the_future(world: World) -> None:
    run(world, 2)
    assert world.compact().future == 0


def test_records_of_earlier_releases_are_old_once_later_ones_confirm_it(world: World) -> None:
    for _ in range(4):
        world.now += HOUR
        world.store(reading=False)
    world.now += 100 * DAY
    world.store()
    assert world.compact().records == 0
    world.now += 31 * DAY
    assert world.compact().records == 3
    assert world.left() == [0, 4]


def test_clock_that_was_behind_at_storing_makes_no_record_old(world: World) -> None:
    world.error = -1_000 * DAY
    run(world, 2)
    world.error = 0.0
    world.store()
    assert world.compact().records == 0


def test_history_stores_readings(tmp_path: Path) -> None:
    history = History(tmp_path / "history.jsonl")
    for number in range(2):
        history.append(full_evaluation(evaluation_id=f"run-{number}"))
    history.close()
    first, second = (record.boot_clock for record in read_records(tmp_path / "history.jsonl"))
    now = read_boot_clock()
    assert first is not None
    assert second is not None
    assert now is not None
    assert first.boot_id == second.boot_id == now.boot_id
    assert first.seconds <= second.seconds <= now.seconds
    assert len(list(history.evaluations())) == 2


READ = "from starlight_exporter.publish.boot_clock import read_boot_clock; print(read_boot_clock())"


def test_time_namespace_with_another_uptime_has_no_reading() -> None:
    unshare = ["unshare", "--user", "--map-root-user", "--time"]
    if not shutil.which("unshare") or subprocess.run([*unshare, "true"], capture_output=True, check=False).returncode:
        pytest.skip("no time namespaces")
    shifted = subprocess.run(
        [*unshare, "--boottime", "100000000", sys.executable, "-c", READ], capture_output=True, text=True, check=True
    )
    assert shifted.stdout == "None\n"


@pytest.mark.parametrize(
    ("offsets", "known"),
    [
        (None, True),
        ("monotonic           0         0\nboottime            0         0\n", True),
        ("monotonic           5         0\nboottime            0         0\n", True),
        ("monotonic           0         0\nboottime          -86400         0\n", False),
        ("monotonic           0         0\nboottime            0         1\n", False),
        ("", False),
    ],
)
def test_only_a_clock_that_is_not_shifted_is_read(
    offsets: str | None, known: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "timens_offsets"
    if offsets is not None:
        file.write_text(offsets)
    monkeypatch.setattr("starlight_exporter.publish.boot_clock._OFFSETS", file)
    assert (read_boot_clock() is not None) == known


@pytest.mark.parametrize("content", [None, 1, [], {}, {"boot_id": "a"}, {"boot_id": 1, "seconds": 2.0}, {"seconds": 1}])
def test_damaged_reading_is_none(content: object) -> None:
    assert parse_boot_clock(content) is None
    assert parse_boot_clock({"boot_id": "a", "seconds": float("nan")}) is None


def test_only_time_within_a_boot_is_confirmed() -> None:
    readings = [BootClock("a", 5), BootClock("a", 25), None, BootClock("a", 15), BootClock("b", 90), BootClock("b", 93)]
    # 15 after 25: the virtual machine was set back.
    assert confirmed_ages(readings) == [23, 3, 3, 3, 3, 0]
    assert confirmed_ages([*readings, None]) == [23, 3, 3, 3, 3, 0, 0]
