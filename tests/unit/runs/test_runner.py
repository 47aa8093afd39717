"""The queue of runs and how each ends, with real worker processes that do what a test needs."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from starlight_exporter.detector.decision import DecisionRule
from starlight_exporter.errors import DatasetError, ModelError
from starlight_exporter.evaluation.request import RunRequest
from starlight_exporter.evaluation.results import RunResult
from starlight_exporter.publish.snapshot import Outcome, Pair
from starlight_exporter.runs import worker
from starlight_exporter.runs.runner import Chore, Ended, Errand, Runner, process_pool, read_progress
from starlight_exporter.runs.worker import Work
from support.snapshots import example_prediction, full_evaluation

PRODUCTION, BASELINE, RESEARCH = ("production", "a"), ("v3", "a"), ("odd", "a")
ORDER = {"production": 0, "v3": 1, "odd": 2}
WAIT = 30.0


# What the workers do instead of an evaluation; they run in processes of their own.


def result_of(work: Work) -> RunResult:
    found = full_evaluation(model=work.request.model, dataset=work.request.dataset)
    return RunResult(replace(found, trigger=work.request.trigger), (example_prediction(),), None)


def good(work: Work) -> RunResult:
    work.thumbnails.mkdir()
    (work.thumbnails / "a.png").touch()
    return result_of(work)


def slow(work: Work) -> RunResult:
    assert work.request.progress_file is not None
    work.request.progress_file.write_text('{"done": 25, "total": 100}')
    time.sleep(120)
    return result_of(work)


def dies(_work: Work) -> RunResult:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


def no_model(_work: Work) -> RunResult:
    raise ModelError("m.onnx: no such file", reason="missing")


def no_dataset(_work: Work) -> RunResult:
    raise DatasetError("images: no such\n dataset folder")


def a_bug(_work: Work) -> RunResult:
    raise ZeroDivisionError


def a_slow_disk(_work: Work) -> RunResult:
    raise TimeoutError("the disk does not answer")


def begins_and_waits_once(mark: Path) -> str:
    if mark.exists():
        return "second time"
    mark.touch()
    time.sleep(120)
    return "first time"


class Doing(ProcessPoolExecutor):
    """A real process pool that does `task` where the runner asks for an evaluation."""

    def __init__(self, task: Callable[[Work], RunResult]) -> None:
        super().__init__(max_workers=1, mp_context=multiprocessing.get_context("spawn"))
        self._task = task

    def submit(self, function, /, *arguments, **more):  # type: ignore[no-untyped-def]
        return super().submit(self._task if function is worker.evaluate else function, *arguments, **more)


class Inline(ThreadPoolExecutor):
    """Evaluates in a thread, for tests of the queue alone."""

    def __init__(self) -> None:
        super().__init__(max_workers=1)

    def submit(self, _function, /, *arguments, **_more):  # type: ignore[no-untyped-def]
        return super().submit(result_of, *arguments)


class Listening:
    """Hears of every run."""

    def __init__(self) -> None:
        self.asked: list[tuple[Pair, str]] = []
        self.begun: list[Pair] = []
        self.over: list[Ended] = []
        self.progress: list[float] = []
        self.thumbnails: list[list[str]] = []
        self.unknown: set[Pair] = set()
        self.gate = threading.Event()
        self.gate.set()
        self._change = threading.Condition()

    def request(self, pair: Pair, trigger: str) -> RunRequest | None:
        self.gate.wait(WAIT)
        self.asked.append((pair, trigger))
        if pair in self.unknown:
            return None
        if trigger == "bug":
            raise KeyError(pair)
        return RunRequest(
            model=pair[0],
            role="production",
            model_path=Path("m.onnx"),
            decision=DecisionRule.single(0.5),
            dataset=pair[1],
            dataset_root=Path("images"),
            trigger=trigger,
        )

    def started(self, pair: Pair) -> None:
        with self._change:
            self.begun.append(pair)
            self._change.notify_all()

    def progressed(self, pair: Pair, ratio: float) -> None:
        assert pair in self.begun
        with self._change:
            self.progress.append(ratio)
            self._change.notify_all()

    def ended(self, run: Ended) -> None:
        with self._change:
            self.over.append(run)
            self.thumbnails.append([] if run.thumbnails is None else [file.name for file in run.thumbnails.iterdir()])
            self._change.notify_all()

    def wait(self, look: Callable[[], bool]) -> None:
        with self._change:
            assert self._change.wait_for(look, WAIT), (self.begun, self.over)

    def first(self) -> Ended:
        self.wait(lambda: bool(self.over))
        return self.over[0]


Start = Callable[..., Runner]

_before: set[int | None] = set()


@pytest.fixture(autouse=True)
def children_before() -> None:
    """Workers of other tests, which may still be on their way out, are not this test's."""
    _before.clear()
    _before.update(child.pid for child in multiprocessing.active_children())


def new_children() -> list[int | None]:
    """Process ids of workers that this test has started and that still run."""
    return [child.pid for child in multiprocessing.active_children() if child.pid not in _before]


@pytest.fixture
def listening() -> Listening:
    return Listening()


@pytest.fixture
def start(listening: Listening) -> Iterator[Start]:
    runners = []

    def begin(make_executor: Callable[[], Executor] = Inline, timeout: float = 60.0) -> Runner:
        runner = Runner(
            listening, order=lambda pair: ORDER[pair[0]], timeout=lambda: timeout, make_executor=make_executor
        )
        runners.append(runner)
        runner.start()
        return runner

    yield begin
    listening.gate.set()
    for runner in runners:
        runner.stop()


def doing(*tasks: Callable[[Work], RunResult]) -> Callable[[], Executor]:
    """Executors that do these one after the other, the last for ever."""
    left = list(tasks)
    return lambda: Doing(left.pop(0) if len(left) > 1 else left[0])


def test_a_pair_that_waits_is_queued_once_and_production_goes_first(listening: Listening, start: Start) -> None:
    listening.gate.clear()
    runner = start()
    runner.submit(("odd", "first"), "schedule")
    while runner.queued():
        time.sleep(0.01)
    for pair in (RESEARCH, BASELINE, PRODUCTION, RESEARCH, PRODUCTION, BASELINE):
        runner.submit(pair, "schedule")
    assert runner.queued() == 3
    listening.gate.set()
    listening.wait(lambda: len(listening.over) == 4)
    assert [run.pair for run in listening.over] == [("odd", "first"), PRODUCTION, BASELINE, RESEARCH]


def test_who_asked_first_is_who_asked(listening: Listening, start: Start) -> None:
    listening.gate.clear()
    runner = start()
    runner.submit(("odd", "first"), "schedule")
    while runner.queued():
        time.sleep(0.01)
    runner.submit(PRODUCTION, "model")
    runner.submit(PRODUCTION, "schedule")
    listening.gate.set()
    listening.wait(lambda: len(listening.over) == 2)
    assert listening.over[1].trigger == "model"


def test_a_pair_that_runs_can_be_queued_again(listening: Listening, start: Start) -> None:
    runner = start()
    runner.submit(PRODUCTION, "start")
    listening.wait(lambda: bool(listening.over))
    runner.submit(PRODUCTION, "model")
    listening.wait(lambda: len(listening.over) == 2)
    assert [run.trigger for run in listening.over] == ["start", "model"]


def test_a_pair_that_is_no_longer_configured_is_left_out(listening: Listening, start: Start) -> None:
    listening.unknown.add(BASELINE)
    runner = start()
    for pair in (BASELINE, RESEARCH):
        runner.submit(pair, "schedule")
    assert listening.first().pair == RESEARCH
    assert listening.begun == [RESEARCH]


def test_a_good_run_brings_its_result_and_its_thumbnails(listening: Listening, start: Start) -> None:
    began = time.time()
    start(doing(good)).submit(PRODUCTION, "start")
    run = listening.first()
    assert (run.outcome, run.error, run.failure) == ("success", "", None)
    assert run.result is not None
    assert run.result.evaluation.trigger == "start"
    assert listening.thumbnails == [["a.png"]]
    assert began <= run.started_at <= run.ended_at <= time.time()
    assert run.thumbnails is not None
    until(lambda: run.thumbnails is not None and not run.thumbnails.exists())


def test_a_worker_that_dies_is_told_and_the_next_run_works(listening: Listening, start: Start) -> None:
    runner = start(doing(dies, good))
    runner.submit(PRODUCTION, "start")
    runner.submit(BASELINE, "start")
    listening.wait(lambda: len(listening.over) == 2)
    crashed, successful = listening.over
    assert (crashed.outcome, crashed.error, crashed.result) == (
        "crashed",
        "the worker process died in the middle of the run",
        None,
    )
    assert successful.outcome == "success"


@pytest.mark.parametrize(
    ("task", "error", "failure"),
    [
        (no_model, "m.onnx: no such file", ModelError),
        (no_dataset, "images: no such dataset folder", DatasetError),
        (a_bug, "ZeroDivisionError", None),
        (a_slow_disk, "the disk does not answer", None),
    ],
)
def test_a_run_that_fails_says_why_in_one_line(
    listening: Listening,
    start: Start,
    task: Callable[[Work], RunResult],
    error: str,
    failure: type[Exception] | None,
) -> None:
    start(doing(task)).submit(PRODUCTION, "start")
    run = listening.first()
    assert (run.outcome, run.error) == ("error", error)
    assert run.failure is None if failure is None else isinstance(run.failure, failure)
    if isinstance(run.failure, ModelError):
        assert run.failure.reason == "missing"


def test_a_run_that_takes_too_long_is_ended_with_its_process(listening: Listening, start: Start) -> None:
    start(doing(slow), timeout=1.0).submit(PRODUCTION, "start")
    run = listening.first()
    assert (run.outcome, run.error) == ("timeout", "took longer than 1 s")
    until(lambda: not new_children())


def test_the_current_run_is_cancelled_only_by_what_it_is_about(listening: Listening, start: Start) -> None:
    runner = start(doing(slow, good))
    runner.submit(PRODUCTION, "start")
    listening.wait(lambda: 0.25 in listening.progress)
    runner.cancel(lambda pair: pair[0] == "v3")
    runner.submit(PRODUCTION, "model")
    time.sleep(0.5)
    assert listening.over == []
    runner.cancel(lambda pair: pair[0] == "production")
    listening.wait(lambda: len(listening.over) == 2)
    assert [run.outcome for run in listening.over] == ["cancelled", "success"]
    assert listening.over[0].result is None


def test_to_cancel_while_nothing_runs_does_nothing(listening: Listening, start: Start) -> None:
    runner = start()
    runner.cancel(lambda _pair: True)
    runner.submit(PRODUCTION, "start")
    assert listening.first().outcome == "success"


def test_stop_ends_the_current_run_and_starts_no_other(listening: Listening, start: Start) -> None:
    runner = start(doing(slow))
    runner.submit(PRODUCTION, "start")
    runner.submit(BASELINE, "start")
    listening.wait(lambda: bool(listening.progress))
    began = time.monotonic()
    runner.stop()
    assert time.monotonic() - began < 8
    assert [(run.pair, run.outcome) for run in listening.over] == [(PRODUCTION, "cancelled")]
    until(lambda: not new_children())


def test_a_bug_in_the_wiring_ends_this_run_alone(listening: Listening, start: Start) -> None:
    runner = start()
    runner.submit(PRODUCTION, "bug")
    runner.submit(BASELINE, "start")
    assert listening.first().pair == BASELINE


def test_no_process_to_be_had_is_an_error_with_an_end(listening: Listening, start: Start) -> None:
    def none_left() -> Executor:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    start(none_left).submit(PRODUCTION, "start")
    run = listening.first()
    assert (run.outcome, run.error) == ("error", "[Errno 11] Resource temporarily unavailable")


def test_no_room_for_temporary_files_is_an_error_with_an_end(
    listening: Listening, start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "nowhere"))
    start().submit(PRODUCTION, "start")
    run = listening.first()
    assert run.outcome == "error"
    assert "No such file or directory" in run.error


def test_a_result_that_comes_with_the_last_look_is_a_result(listening: Listening, start: Start) -> None:
    """A future that is done a moment after a look gave up waiting for it must not count as failed."""

    class Late(Future[RunResult]):
        def result(self, timeout: float | None = None) -> RunResult:
            if timeout is not None:
                self.set_result(self.late)
                raise TimeoutError
            return super().result(timeout)

        def arrive(self) -> None:
            if not self.done():
                self.set_result(self.late)

        late: RunResult

    class LateExecutor(Inline):
        def submit(self, _function, /, *arguments, **_more):  # type: ignore[no-untyped-def]
            future = Late()
            future.late = result_of(arguments[0])
            threading.Timer(0.05, future.arrive).start()
            return future

    start(LateExecutor).submit(PRODUCTION, "start")
    assert listening.first().outcome == "success"


def test_a_call_gives_back_what_a_process_of_its_own_computes(start: Start) -> None:
    runner = start(process_pool)
    assert runner.call(os.getpid, timeout=WAIT) != os.getpid()
    assert runner.call(os.nice, 0, timeout=WAIT) == worker.NICENESS + os.nice(0)
    with pytest.raises(DatasetError, match="no such dataset folder"):
        runner.call(worker.fingerprint, "a", Path("/nowhere/at/all"), timeout=WAIT)


def test_stop_ends_a_call_as_well(start: Start) -> None:
    runner = start(process_pool)
    errors: list[BaseException] = []

    def call() -> None:
        try:
            runner.call(time.sleep, 120, timeout=WAIT)
        except BrokenProcessPool as error:
            errors.append(error)

    thread = threading.Thread(target=call)
    thread.start()
    until(lambda: bool(new_children()))
    runner.stop()
    thread.join(WAIT)
    assert len(errors) == 1


def test_a_call_that_takes_too_long(start: Start) -> None:
    runner = start(process_pool)
    with pytest.raises(TimeoutError):
        runner.call(time.sleep, 60, timeout=0.1)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"done": 1}', '{"done": 1, "total": 0}', '{"done": "x", "total": 2}'])
def test_progress_that_cannot_be_read_is_none(tmp_path: Path, text: str) -> None:
    file = tmp_path / "progress.json"
    assert read_progress(file) is None
    file.write_text(text)
    assert read_progress(file) is None


def test_progress_is_a_share(tmp_path: Path) -> None:
    file = tmp_path / "progress.json"
    file.write_text('{"done": 30, "total": 40}')
    assert read_progress(file) == 0.75


def until(look: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT
    while not look():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def errand(function: Callable[..., object], *arguments: object) -> tuple[Errand, list[tuple[Outcome, object]]]:
    """An errand, and the list that its end is written to."""
    ends: list[tuple[Outcome, object]] = []
    return Errand("errand", function, arguments, lambda outcome, result: ends.append((outcome, result))), ends


def test_an_errand_is_done_in_a_process_of_its_own(start: Start) -> None:
    runner = start(process_pool)
    asked, ends = errand(os.getpid)
    runner.run_errand(asked)
    until(lambda: bool(ends))
    (outcome, result) = ends[0]
    assert outcome == "success"
    assert result != os.getpid()


def test_an_errand_that_fails_says_why(start: Start) -> None:
    runner = start(process_pool)
    failing, ends = errand(worker.fingerprint, "a", Path("/nowhere/at/all"))
    runner.run_errand(failing)
    until(lambda: bool(ends))
    assert ends[0][0] == "error"
    assert "no such dataset folder" in str(ends[0][1])
    dying, ends = errand(os._exit, 3)
    runner.run_errand(dying)
    until(lambda: bool(ends))
    assert ends[0][0] == "crashed"


def test_an_errand_that_fails_in_an_unexpected_way_has_an_end_too(start: Start) -> None:
    runner = start(process_pool)
    failing, ends = errand(divmod, 1, 0)
    with capture_logs() as logs:
        runner.run_errand(failing)
        until(lambda: bool(ends))
    assert ends[0][0] == "error"
    assert isinstance(ends[0][1], ZeroDivisionError)
    (told,) = (log for log in logs if log["log_level"] == "error")
    assert told["errand"] == "errand"
    assert told["exc_info"]


def test_no_process_to_be_had_ends_an_errand_too(start: Start) -> None:
    def none_left() -> Executor:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    asked, ends = errand(os.getpid)
    start(none_left).run_errand(asked)
    until(lambda: bool(ends))
    assert ends[0][0] == "error"


def test_an_evaluation_goes_before_an_errand_which_begins_anew(
    listening: Listening, start: Start, tmp_path: Path
) -> None:
    runner = start(doing(good))
    mark = tmp_path / "begun"
    asked, ends = errand(begins_and_waits_once, mark)
    runner.run_errand(asked)
    until(mark.exists)
    runner.submit(PRODUCTION, "model")
    assert listening.first().outcome == "success"
    assert ends == []
    until(lambda: bool(ends))
    assert ends[0] == ("success", "second time")


def test_an_errand_that_takes_too_long_is_ended(listening: Listening) -> None:
    runner = Runner(listening, order=lambda _pair: 0, timeout=lambda: 0.5)
    runner.start()
    asked, ends = errand(time.sleep, 120)
    runner.run_errand(asked)
    until(lambda: bool(ends))
    assert ends[0][0] == "timeout"
    runner.stop()
    until(lambda: not new_children())


def test_stop_ends_an_errand_and_tells_nobody(start: Start) -> None:
    runner = start(process_pool)
    asked, ends = errand(time.sleep, 120)
    runner.run_errand(asked)
    until(lambda: bool(new_children()))
    began = time.monotonic()
    runner.stop()
    assert time.monotonic() - began < 8
    assert ends == []
    until(lambda: not new_children())


def test_a_chore_waits_for_every_evaluation_and_one_that_fails_ends_nothing(listening: Listening, start: Start) -> None:
    runner = start(doing(good))
    order: list[str] = []

    def work() -> None:
        order.append(f"after {len(listening.over)} evaluations")
        raise ValueError("a bug")

    runner.submit(PRODUCTION, "start")
    runner.submit(RESEARCH, "start")
    runner.run_errand(Chore("reports", work))
    until(lambda: bool(order))
    assert order == ["after 2 evaluations"]
    runner.run_errand(Chore("reports", lambda: order.append("again")))
    until(lambda: len(order) == 2)
