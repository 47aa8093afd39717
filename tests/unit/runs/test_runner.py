"""Runner: order of the queue, outcomes of evaluations, and background jobs, with real worker processes."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from structlog.testing import capture_logs

from starlight_exporter.dataset.dataset import ScannedDataset
from starlight_exporter.dataset.labelled_files import find_labelled_files
from starlight_exporter.dataset.layout import scan
from starlight_exporter.detector.decision import DecisionRule
from starlight_exporter.errors import DatasetError, ImageError, ModelError, ModelFailureReason
from starlight_exporter.evaluation.provisional_result import ProvisionalFailure, ProvisionalResult, write_provisional
from starlight_exporter.evaluation.request import ProvisionalRequest, RunRequest
from starlight_exporter.evaluation.results import RunResult
from starlight_exporter.process_isolation import NICENESS
from starlight_exporter.publish.snapshot import Pair
from starlight_exporter.runs import worker
from starlight_exporter.runs.attempt import CANCELLED, INTERRUPT_SECONDS, Attempt, attempt
from starlight_exporter.runs.finished_run import FinishedRun, RunOutput
from starlight_exporter.runs.process import WorkerProcess
from starlight_exporter.runs.runner import (
    MAX_CANCELLATIONS,
    PREEMPTED,
    BackgroundJob,
    InThreadTask,
    Runner,
)
from starlight_exporter.runs.worker import Work
from support.images import write_dataset
from support.snapshots import example_prediction, full_evaluation, provisional_result
from support.waiting import wait_until

pytestmark = pytest.mark.slow

PRODUCTION, BASELINE, RESEARCH = ("production", "a"), ("v3", "a"), ("odd", "a")
PRIORITY = {"production": 0, "v3": 1, "odd": 2}
NO_IMAGE = (Path("/nowhere/at/all"), "a.png", "0" * 64, 1024, 1024)
WAIT = 60.0


# Replacements for the evaluation in worker processes


def result_of(work: Work) -> RunResult:
    evaluation = full_evaluation(model=work.request.model, dataset=work.request.dataset)
    return RunResult(replace(evaluation, trigger=work.request.trigger), (example_prediction(),), None)


def succeed(work: Work) -> RunResult:
    work.thumbnails.mkdir()
    (work.thumbnails / "a.png").touch()
    return result_of(work)


def take_long(work: Work) -> RunResult:
    assert work.request.progress_file is not None
    work.request.progress_file.write_text('{"done": 25, "total": 100, "listing": "00ff"}')
    signal.pause()
    return result_of(work)


def sample_first(work: Work) -> RunResult:
    """Publish a provisional result and take long, unless that was published before."""
    assert work.request.provisional is not None
    assert work.provisional_file is not None
    if not work.request.provisional.is_published:
        result = provisional_result(model=work.request.model, dataset=work.request.dataset)
        write_provisional(work.provisional_file, result)
        signal.pause()
    return result_of(work)


def fail_to_sample(work: Work) -> RunResult:
    """Publish that there is no provisional result, and take long."""
    assert work.provisional_file is not None
    if not work.provisional_file.exists():
        write_provisional(work.provisional_file, ProvisionalFailure("no space left"))
    return take_long(work)


def crash(_work: Work) -> RunResult:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


def fail_without_model(_work: Work) -> RunResult:
    raise ModelError("m.onnx: no such file", reason="missing")


def fail_without_dataset(_work: Work) -> RunResult:
    raise DatasetError("images: no such\n dataset folder")


def fail_unexpectedly(_work: Work) -> RunResult:
    raise ZeroDivisionError


def fail_on_slow_disk(_work: Work) -> RunResult:
    raise TimeoutError("the disk does not respond")


class UnreadableError(Exception):
    """Can be pickled, but not created again."""

    def __init__(self, one: str, other: str) -> None:
        super().__init__(f"{one} {other}")


def fail_with_unreadable_error() -> None:
    raise UnreadableError("a", "bug")


class UnreadableResult:
    """Can be created in the worker, but not in the service."""

    def __reduce__(self) -> tuple[object, ...]:
        return divmod, (1, 0)


def take_long_at_first(mark: Path) -> str:
    if mark.exists():
        return "second time"
    mark.touch()
    signal.pause()
    return "first time"


class ReplacedWorker(WorkerProcess):
    """A real worker process that calls `task` instead of the evaluation."""

    def __init__(self, task: Callable[[Work], RunResult]) -> None:
        super().__init__()
        self._task = task

    def submit(self, function: Callable[..., object], *arguments: object) -> None:
        super().submit(self._task if function is worker.evaluate else function, *arguments)


class InlineWorker(WorkerProcess):
    """Returns a result without a process, for tests of the queue."""

    def submit(self, _function: Callable[..., object], *arguments: object) -> None:
        work = arguments[0]
        assert isinstance(work, Work)
        self._result = result_of(work)

    def wait(self, _seconds: float) -> bool:
        return True

    def receive(self) -> object:
        return self._result


class LateWorker(InlineWorker):
    """Returns its result after the first poll."""

    def __init__(self) -> None:
        super().__init__()
        self._polls = 0

    def wait(self, _seconds: float) -> bool:
        self._polls += 1
        return self._polls > 1


class UnavailableWorker(WorkerProcess):
    def submit(self, _function: Callable[..., object], *_arguments: object) -> None:
        raise BlockingIOError(11, "Resource temporarily unavailable")


class RecordingHandler:
    """Records all calls of the runner."""

    def __init__(self) -> None:
        self.requested: list[tuple[Pair, str]] = []
        self.begun: list[Pair] = []
        self.runs: list[FinishedRun] = []
        self.outputs: list[RunOutput] = []
        self.progress: list[float] = []
        self.samples: list[Pair] = []
        self.published: list[tuple[Pair, bool]] = []
        self.thumbnails: list[list[str]] = []
        self.unknown: set[Pair] = set()
        self.gate = threading.Event()
        self.gate.set()
        self._change = threading.Condition()

    def request(self, pair: Pair, trigger: str) -> RunRequest | None:
        self.gate.wait(WAIT)
        self.requested.append((pair, trigger))
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
            provisional=ProvisionalRequest(),
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

    def sampled(self, request: RunRequest, result: ProvisionalResult | ProvisionalFailure) -> bool:
        with self._change:
            self.samples.append((request.model, request.dataset))
            self._change.notify_all()
        return isinstance(result, ProvisionalResult)

    def finished(self, run: FinishedRun, output: RunOutput) -> None:
        with self._change:
            assert output.request.provisional is not None
            self.published.append((run.pair, output.request.provisional.is_published))
            self.runs.append(run)
            self.outputs.append(output)
            self.thumbnails.append([] if output.thumbnails is None else [f.name for f in output.thumbnails.iterdir()])
            self._change.notify_all()

    def wait(self, condition: Callable[[], bool]) -> None:
        with self._change:
            assert self._change.wait_for(condition, WAIT), (self.begun, self.runs)

    def first(self) -> FinishedRun:
        self.wait(lambda: bool(self.runs))
        return self.runs[0]


StartRunner = Callable[..., Runner]

_existing: set[int] = set()


@pytest.fixture(autouse=True)
def existing_processes() -> None:
    """Exclude worker processes of other tests, which may still be ending."""
    _existing.clear()
    _existing.update(worker_processes())


def worker_processes() -> list[int]:
    """Return the ids of the worker processes that this test has started and that are running."""
    running = []
    for child in psutil.Process().children():
        try:
            is_worker = "worker_main" in " ".join(child.cmdline()) and child.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            continue
        if is_worker and child.pid not in _existing:
            running.append(child.pid)
    return running


@pytest.fixture
def handler() -> RecordingHandler:
    return RecordingHandler()


@pytest.fixture
def start(handler: RecordingHandler) -> Iterator[StartRunner]:
    runners = []

    def begin(make_process: Callable[[], WorkerProcess] = InlineWorker, timeout: float = 600.0) -> Runner:
        runner = Runner(priority=lambda pair: PRIORITY[pair[0]], timeout=lambda: timeout, make_process=make_process)
        runner.handler = handler
        runners.append(runner)
        runner.start()
        return runner

    yield begin
    handler.gate.set()
    for runner in runners:
        runner.stop()


def workers(*tasks: Callable[[Work], RunResult]) -> Callable[[], WorkerProcess]:
    """Return a factory of workers that call these tasks, one each, the last one repeatedly."""
    left = list(tasks)
    return lambda: ReplacedWorker(left.pop(0) if len(left) > 1 else left[0])


# Queue


def test_queues_each_pair_once_and_evaluates_production_first(handler: RecordingHandler, start: StartRunner) -> None:
    handler.gate.clear()
    runner = start()
    runner.submit(("odd", "first"), "schedule")
    wait_until(lambda: not runner.queued())
    for pair in (RESEARCH, BASELINE, PRODUCTION, RESEARCH, PRODUCTION, BASELINE):
        runner.submit(pair, "schedule")
    assert runner.queued() == 3
    handler.gate.set()
    handler.wait(lambda: len(handler.runs) == 4)
    assert [run.pair for run in handler.runs] == [("odd", "first"), PRODUCTION, BASELINE, RESEARCH]


def test_queued_pair_keeps_its_first_trigger(handler: RecordingHandler, start: StartRunner) -> None:
    handler.gate.clear()
    runner = start()
    runner.submit(("odd", "first"), "schedule")
    wait_until(lambda: not runner.queued())
    runner.submit(PRODUCTION, "model")
    runner.submit(PRODUCTION, "schedule")
    handler.gate.set()
    handler.wait(lambda: len(handler.runs) == 2)
    assert handler.runs[1].trigger == "model"


def test_other_trigger_replaces_that_of_the_schedule(handler: RecordingHandler, start: StartRunner) -> None:
    """A scheduled run may be skipped, so a request must not become one."""
    handler.gate.clear()
    runner = start()
    runner.submit(("odd", "first"), "schedule")
    wait_until(lambda: not runner.queued())
    runner.submit(PRODUCTION, "schedule")
    runner.submit(PRODUCTION, "request")
    runner.submit(PRODUCTION, "model")
    handler.gate.set()
    handler.wait(lambda: len(handler.runs) == 2)
    assert handler.runs[1].trigger == "request"


def test_finished_pair_can_be_queued_again(handler: RecordingHandler, start: StartRunner) -> None:
    runner = start()
    runner.submit(PRODUCTION, "start")
    handler.wait(lambda: bool(handler.runs))
    runner.submit(PRODUCTION, "model")
    handler.wait(lambda: len(handler.runs) == 2)
    assert [run.trigger for run in handler.runs] == ["start", "model"]


def test_skips_pair_without_a_request(handler: RecordingHandler, start: StartRunner) -> None:
    handler.unknown.add(BASELINE)
    runner = start()
    for pair in (BASELINE, RESEARCH):
        runner.submit(pair, "schedule")
    assert handler.first().pair == RESEARCH
    assert handler.begun == [RESEARCH]


def test_unexpected_error_of_the_handler_affects_only_this_run(handler: RecordingHandler, start: StartRunner) -> None:
    runner = start()
    runner.submit(PRODUCTION, "bug")
    runner.submit(BASELINE, "start")
    assert handler.first().pair == BASELINE


# Outcomes


def test_successful_run_has_result_and_thumbnails(handler: RecordingHandler, start: StartRunner) -> None:
    began = time.time()
    start(workers(succeed)).submit(PRODUCTION, "start")
    run = handler.first()
    output = handler.outputs[0]
    assert (run.outcome, run.error, output.load_failure) == ("success", "", None)
    assert output.result is not None
    assert output.result.evaluation.trigger == "start"
    assert run.id == output.result.evaluation.id
    assert handler.thumbnails == [["a.png"]]
    assert began <= run.started_at <= run.ended_at <= time.time()
    thumbnails = output.thumbnails
    assert thumbnails is not None
    wait_until(lambda: not thumbnails.exists())


def test_crashed_run_is_reported_and_the_next_run_works(handler: RecordingHandler, start: StartRunner) -> None:
    runner = start(workers(crash, crash, succeed))
    runner.submit(PRODUCTION, "start")
    runner.submit(BASELINE, "start")
    handler.wait(lambda: len(handler.runs) == 2)
    crashed, successful = handler.runs
    assert (crashed.outcome, crashed.error) == ("crashed", "worker ended by signal 9 (Killed)")
    assert handler.outputs[0].result is None
    assert successful.outcome == "success"


@pytest.mark.parametrize(
    ("task", "error", "load_failure"),
    [
        (fail_without_model, "m.onnx: no such file", "missing"),
        (fail_without_dataset, "images: no such dataset folder", None),
        (fail_unexpectedly, "ZeroDivisionError", None),
        (fail_on_slow_disk, "the disk does not respond", None),
    ],
)
def test_failed_run_has_reason_on_one_line(
    handler: RecordingHandler,
    start: StartRunner,
    task: Callable[[Work], RunResult],
    error: str,
    load_failure: ModelFailureReason | None,
) -> None:
    start(workers(task)).submit(PRODUCTION, "start")
    run = handler.first()
    assert (run.outcome, run.error) == ("error", error)
    assert handler.outputs[0].load_failure == load_failure


def test_run_is_terminated_after_timeout(handler: RecordingHandler, start: StartRunner) -> None:
    start(workers(take_long), timeout=1.0).submit(PRODUCTION, "start")
    run = handler.first()
    assert (run.outcome, run.error) == ("timeout", "timed out after 1 s")
    wait_until(lambda: not worker_processes())


def test_worker_that_ended_once_without_a_file_in_progress_is_replaced(
    handler: RecordingHandler, start: StartRunner
) -> None:
    start(workers(crash, succeed)).submit(PRODUCTION, "start")
    assert handler.first().outcome == "success"


@pytest.mark.parametrize(
    ("running", "pair", "trigger"),
    [(RESEARCH, PRODUCTION, "schedule"), (RESEARCH, BASELINE, "model"), (BASELINE, PRODUCTION, "model")],
)
def test_evaluation_of_lower_priority_is_preempted_and_queued_again(
    handler: RecordingHandler, start: StartRunner, running: Pair, pair: Pair, trigger: str
) -> None:
    runner = start(workers(take_long, succeed))
    runner.submit(running, "schedule")
    handler.wait(lambda: bool(handler.progress))
    queued = time.monotonic()
    runner.submit(pair, trigger)
    handler.wait(lambda: pair in handler.begun)
    assert time.monotonic() - queued < 2.0
    handler.wait(lambda: len(handler.runs) == 3)
    assert [(run.pair, run.outcome) for run in handler.runs] == [
        (running, "cancelled"),
        (pair, "success"),
        (running, "success"),
    ]
    assert handler.runs[0].error == PREEMPTED
    assert handler.runs[2].trigger == "schedule"


def test_research_and_a_scheduled_baseline_wait_for_research(handler: RecordingHandler, start: StartRunner) -> None:
    runner = start(workers(take_long))
    runner.submit(RESEARCH, "schedule")
    handler.wait(lambda: bool(handler.progress))
    runner.submit(("odd", "b"), "model")
    runner.submit(BASELINE, "schedule")
    polls = len(handler.progress)
    handler.wait(lambda: len(handler.progress) > polls + 3)
    assert handler.runs == []


def test_production_does_not_preempt_production(handler: RecordingHandler, start: StartRunner) -> None:
    runner = start(workers(take_long))
    runner.submit(PRODUCTION, "schedule")
    handler.wait(lambda: bool(handler.progress))
    runner.submit(("production", "b"), "model")
    polls = len(handler.progress)
    handler.wait(lambda: len(handler.progress) > polls + 3)
    assert handler.runs == []


@pytest.mark.parametrize(
    ("running", "queued"), [(BASELINE, PRODUCTION), (PRODUCTION, ("production", "b")), (RESEARCH, BASELINE)]
)
def test_provisional_results_come_before_the_full_pass_of_another_pair(
    handler: RecordingHandler, start: StartRunner, running: Pair, queued: Pair
) -> None:
    runner = start(workers(sample_first))
    runner.submit(running, "model")
    handler.wait(lambda: handler.samples == [running])
    runner.submit(queued, "model")
    handler.wait(lambda: handler.samples == [running, queued])
    # Nothing preempts the second pair, whose full pass takes long as well.
    runner.cancel(lambda pair: pair == queued)
    handler.wait(lambda: len(handler.runs) == 3)
    assert handler.samples == [running, queued]
    assert [(run.pair, run.outcome, run.error) for run in handler.runs] == [
        (running, "cancelled", PREEMPTED),
        (queued, "cancelled", CANCELLED),
        (running, "success", ""),
    ]
    # The full pass of the first pair does not measure the sample again.
    assert handler.published == [(running, False), (queued, False), (running, True)]


def test_failure_of_a_provisional_result_is_handed_over_once_and_does_not_count_as_one(
    handler: RecordingHandler, start: StartRunner
) -> None:
    runner = start(workers(fail_to_sample))
    runner.submit(PRODUCTION, "model")
    handler.wait(lambda: handler.samples == [PRODUCTION])
    # Nothing was published, so an evaluation of the same priority does not interrupt the full pass.
    runner.submit(("production", "b"), "model")
    polls = len(handler.progress)
    handler.wait(lambda: len(handler.progress) > polls + 3)
    assert (handler.samples, handler.runs) == ([PRODUCTION], [])


@pytest.mark.parametrize("trigger", ["schedule", "model"])
def test_provisional_result_is_measured_again_after_a_change(
    handler: RecordingHandler, start: StartRunner, trigger: str
) -> None:
    runner = start(workers(sample_first))
    runner.submit(BASELINE, "model")
    handler.wait(lambda: handler.samples == [BASELINE])
    handler.gate.clear()
    runner.submit(PRODUCTION, "model")
    handler.wait(lambda: len(handler.runs) == 1)
    # The change is reported while the interrupted run is queued again.
    wait_until(lambda: runner.queued() == 1)
    runner.submit(BASELINE, trigger)
    handler.gate.set()
    handler.wait(lambda: handler.samples == [BASELINE, PRODUCTION])
    runner.cancel(lambda pair: pair == PRODUCTION)
    handler.wait(lambda: handler.samples == [BASELINE, PRODUCTION, BASELINE])
    # A scheduled run may be skipped, the interrupted one may not.
    assert handler.requested[-1] == (BASELINE, "model")


def test_images_that_change_all_the_time_do_not_prevent_results_of_other_datasets(
    handler: RecordingHandler, start: StartRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("starlight_exporter.runs.runner.MAX_INTERRUPTIONS", 1)
    other = ("production", "b")
    runner = start(workers(sample_first))
    runner.submit(PRODUCTION, "model")
    handler.wait(lambda: handler.samples == [PRODUCTION])
    handler.gate.clear()
    runner.submit(other, "dataset")
    handler.wait(lambda: len(handler.runs) == 1)
    # The full pass would end at once: with another change, the sample is measured again.
    runner.submit(PRODUCTION, "model")
    handler.gate.set()
    handler.wait(lambda: handler.samples == [PRODUCTION, other, PRODUCTION])
    finished = len(handler.runs)
    runner.submit(other, "dataset")
    time.sleep(3 * INTERRUPT_SECONDS)
    assert len(handler.runs) == finished
    # The first values of a changed model are not delayed.
    runner.submit(("production", "c"), "model")
    handler.wait(lambda: len(handler.runs) > finished)
    assert (handler.runs[-1].pair, handler.runs[-1].error) == (PRODUCTION, PREEMPTED)


def test_evaluation_is_not_preempted_by_its_own_pair(handler: RecordingHandler, start: StartRunner) -> None:
    runner = start(workers(sample_first))
    runner.submit(PRODUCTION, "model")
    handler.wait(lambda: handler.samples == [PRODUCTION])
    runner.submit(PRODUCTION, "model")
    time.sleep(3 * INTERRUPT_SECONDS)
    assert handler.runs == []


def test_production_that_is_evaluated_all_the_time_does_not_prevent_results_of_research(
    handler: RecordingHandler, start: StartRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("starlight_exporter.runs.runner.MAX_INTERRUPTIONS", 1)
    runner = start(workers(take_long, succeed, take_long))
    runner.submit(RESEARCH, "model")
    handler.wait(lambda: bool(handler.progress))
    runner.submit(PRODUCTION, "schedule")
    handler.wait(lambda: handler.begun == [RESEARCH, PRODUCTION, RESEARCH])
    for trigger in ("schedule", "dataset"):
        runner.submit(PRODUCTION, trigger)
        time.sleep(3 * INTERRUPT_SECONDS)
    assert len(handler.runs) == 2
    runner.submit(PRODUCTION, "schedule")
    runner.submit(("production", "b"), "model")
    handler.wait(lambda: len(handler.runs) == 3)
    assert (handler.runs[-1].pair, handler.runs[-1].error) == (RESEARCH, PREEMPTED)


def test_preempted_run_is_queued_again_after_an_error_of_the_handler(
    handler: RecordingHandler, start: StartRunner, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_run: FinishedRun, _output: RunOutput) -> None:
        monkeypatch.undo()
        raise KeyError

    runner = start(workers(take_long, succeed))
    runner.submit(RESEARCH, "model")
    handler.wait(lambda: bool(handler.progress))
    monkeypatch.setattr(handler, "finished", fail)
    runner.submit(PRODUCTION, "model")
    handler.wait(lambda: len(handler.runs) == 2)
    assert [run.pair for run in handler.runs] == [PRODUCTION, RESEARCH]


def test_scheduled_evaluation_does_not_preempt_a_full_pass(handler: RecordingHandler, start: StartRunner) -> None:
    runner = start(workers(sample_first))
    runner.submit(BASELINE, "model")
    handler.wait(lambda: handler.samples == [BASELINE])
    runner.submit(PRODUCTION, "schedule")
    runner.submit(RESEARCH, "model")
    time.sleep(2 * INTERRUPT_SECONDS)
    assert handler.runs == []


def test_cancels_only_a_run_that_is_affected(handler: RecordingHandler, start: StartRunner) -> None:
    runner = start(workers(take_long, succeed))
    runner.submit(PRODUCTION, "start")
    handler.wait(lambda: 0.25 in handler.progress)
    runner.cancel(lambda pair: pair[0] == "v3")
    runner.submit(PRODUCTION, "model")
    polls = len(handler.progress)
    handler.wait(lambda: len(handler.progress) > polls + 1)
    assert handler.runs == []
    runner.cancel(lambda pair: pair[0] == "production")
    handler.wait(lambda: len(handler.runs) == 2)
    assert [run.outcome for run in handler.runs] == ["cancelled", "success"]
    assert handler.runs[0].error == CANCELLED
    assert handler.outputs[0].result is None


def test_files_that_change_all_the_time_do_not_prevent_every_result(
    handler: RecordingHandler, start: StartRunner
) -> None:
    runner = start(workers(take_long))
    for number in range(MAX_CANCELLATIONS):
        runner.submit(PRODUCTION, "model")
        handler.wait(lambda number=number: len(handler.begun) > number)  # type: ignore[misc]
        runner.cancel_outdated(lambda pair: pair == PRODUCTION)
        handler.wait(lambda number=number: len(handler.runs) > number)  # type: ignore[misc]
    assert {run.outcome for run in handler.runs} == {"cancelled"}
    runner.submit(PRODUCTION, "model")
    handler.wait(lambda: len(handler.begun) > MAX_CANCELLATIONS)
    runner.cancel_outdated(lambda pair: pair == PRODUCTION)
    polls = len(handler.progress)
    handler.wait(lambda: len(handler.progress) > polls + 2)
    assert len(handler.runs) == MAX_CANCELLATIONS


def test_replaced_model_with_provisional_results_is_always_cancelled(
    handler: RecordingHandler, start: StartRunner
) -> None:
    runner = start(workers(sample_first))
    for number in range(MAX_CANCELLATIONS + 2):
        runner.submit(PRODUCTION, "model")
        handler.wait(lambda number=number: len(handler.samples) > number)  # type: ignore[misc]
        runner.cancel_replaced("v3")
        runner.cancel_replaced("production")
        handler.wait(lambda number=number: len(handler.runs) > number)  # type: ignore[misc]
    assert {run.outcome for run in handler.runs} == {"cancelled"}


def test_listing_of_the_running_evaluation_are_known(start: StartRunner) -> None:
    runner = start(workers(take_long))
    runner.submit(PRODUCTION, "start")
    wait_until(lambda: runner.listed(PRODUCTION) == "00ff")
    assert runner.listed(RESEARCH) is None


def test_cancel_without_a_run_does_nothing(handler: RecordingHandler, start: StartRunner) -> None:
    runner = start()
    runner.cancel(lambda _pair: True)
    runner.submit(PRODUCTION, "start")
    assert handler.first().outcome == "success"


def test_stop_cancels_the_current_run_and_starts_no_other(handler: RecordingHandler, start: StartRunner) -> None:
    runner = start(workers(take_long))
    runner.submit(PRODUCTION, "start")
    runner.submit(BASELINE, "start")
    handler.wait(lambda: bool(handler.progress))
    runner.stop(WAIT)
    assert [(run.pair, run.outcome) for run in handler.runs] == [(PRODUCTION, "cancelled")]
    assert not worker_processes()


def test_ends_no_process_of_another_owner(handler: RecordingHandler, start: StartRunner) -> None:
    other = WorkerProcess()
    try:
        other.submit(os.getpid)
        assert other.wait(WAIT)
        pid = other.receive()
        runner = start(workers(take_long, succeed))
        runner.submit(PRODUCTION, "start")
        handler.wait(lambda: bool(handler.progress))
        runner.cancel(lambda _pair: True)
        handler.wait(lambda: bool(handler.runs))
        runner.stop(WAIT)
        other.submit(os.getpid)
        assert other.wait(WAIT)
        assert other.receive() == pid
    finally:
        other.kill()


def test_unavailable_process_is_an_error(handler: RecordingHandler, start: StartRunner) -> None:
    start(UnavailableWorker).submit(PRODUCTION, "start")
    run = handler.first()
    assert (run.outcome, run.error) == ("error", "[Errno 11] Resource temporarily unavailable")


def test_missing_temporary_folder_is_an_error(
    handler: RecordingHandler, start: StartRunner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "nowhere"))
    start().submit(PRODUCTION, "start")
    run = handler.first()
    assert run.outcome == "error"
    assert "No such file or directory" in run.error


def test_result_that_arrives_after_a_poll_is_a_success(handler: RecordingHandler, start: StartRunner) -> None:
    start(LateWorker).submit(PRODUCTION, "start")
    assert handler.first().outcome == "success"


# Calls


def never() -> None:
    """Do not interrupt the call."""


def test_attempt_returns_the_outcome_of_a_worker_process() -> None:
    assert attempt(WorkerProcess(), os.getpid, (), timeout=WAIT, interrupt=never).result not in (None, os.getpid())
    assert attempt(WorkerProcess(), os.nice, (0,), timeout=WAIT, interrupt=never) == Attempt(
        "success", NICENESS + os.nice(0)
    )
    failed = attempt(WorkerProcess(), worker.thumbnail, NO_IMAGE, timeout=WAIT, interrupt=never)
    assert failed.outcome == "error"
    assert isinstance(failed.error, ImageError)
    assert "No such file" in failed.reason


def test_attempt_is_terminated_after_timeout() -> None:
    assert attempt(WorkerProcess(), signal.pause, (), timeout=0.1, interrupt=never).outcome == "timeout"
    assert not worker_processes()


def scan_request(root: Path) -> RunRequest:
    handler = RecordingHandler()
    request = handler.request(PRODUCTION, "dataset")
    assert request is not None
    return replace(request, dataset_root=root)


def test_fingerprint_is_that_of_the_dataset(start: StartRunner, tmp_path: Path) -> None:
    root = write_dataset(tmp_path / "images")
    found = start(WorkerProcess).fingerprint(scan_request(root), timeout=WAIT)
    assert found == Attempt(
        "success", ScannedDataset(scan("a", root).fingerprint, find_labelled_files(root).found.digest)
    )
    failed = start(WorkerProcess).fingerprint(scan_request(tmp_path / "nowhere"), timeout=WAIT)
    assert failed.outcome == "error"
    assert "no such dataset folder" in failed.reason


def test_stop_cancels_a_scan(start: StartRunner, tmp_path: Path) -> None:
    write_dataset(tmp_path / "images")
    runner = start(WorkerProcess)
    outcomes: list[Attempt] = []
    request = scan_request(tmp_path / "images")
    thread = threading.Thread(target=lambda: outcomes.append(runner.fingerprint(request, timeout=600)))
    thread.start()
    wait_until(worker_processes_exist)
    runner.stop()
    thread.join(WAIT)
    assert outcomes[0].outcome in ("cancelled", "success")
    assert not worker_processes()


def worker_processes_exist() -> bool:
    return bool(worker_processes())


# Background jobs


def job(function: Callable[..., object], *arguments: object) -> tuple[BackgroundJob, list[Attempt]]:
    """Return a background job, and the list to which its outcome is appended."""
    attempts: list[Attempt] = []
    return BackgroundJob("job", function, arguments, attempts.append), attempts


def only(attempts: list[Attempt]) -> Attempt:
    wait_until(lambda: bool(attempts))
    return attempts[0]


def test_background_job_runs_in_a_worker_process(start: StartRunner) -> None:
    queued, attempts = job(os.getpid)
    start(WorkerProcess).submit_job(queued)
    assert only(attempts).outcome == "success"
    assert attempts[0].result != os.getpid()


def test_failed_background_job_has_a_reason(start: StartRunner) -> None:
    runner = start(WorkerProcess)
    failing, attempts = job(worker.thumbnail, *NO_IMAGE)
    runner.submit_job(failing)
    assert only(attempts).outcome == "error"
    assert "No such file" in attempts[0].reason
    crashing, attempts = job(os._exit, 3)
    runner.submit_job(crashing)
    assert only(attempts).outcome == "crashed"


def test_unexpected_error_of_a_background_job_is_logged_and_reported(start: StartRunner) -> None:
    runner = start(WorkerProcess)
    failing, attempts = job(divmod, 1, 0)
    with capture_logs() as logs:
        runner.submit_job(failing)
        assert only(attempts).outcome == "error"
    assert isinstance(attempts[0].error, ZeroDivisionError)
    (logged,) = (log for log in logs if log["log_level"] == "error")
    assert logged["function"] == "divmod"
    assert logged["exc_info"]


def test_result_that_cannot_be_sent_is_an_error(start: StartRunner) -> None:
    queued, attempts = job(threading.Lock)
    start(WorkerProcess).submit_job(queued)
    assert only(attempts).outcome == "error"
    assert "result cannot be sent" in attempts[0].reason


def test_error_that_cannot_be_created_again_is_an_error(start: StartRunner) -> None:
    queued, attempts = job(fail_with_unreadable_error)
    start(WorkerProcess).submit_job(queued)
    assert only(attempts).outcome == "error"
    assert "UnreadableError: a bug" in attempts[0].reason


def test_result_that_cannot_be_read_is_an_error(start: StartRunner) -> None:
    queued, attempts = job(UnreadableResult)
    start(WorkerProcess).submit_job(queued)
    assert only(attempts).outcome == "error"
    assert "cannot be read: ZeroDivisionError" in attempts[0].reason


def test_result_that_is_too_large_is_an_error(start: StartRunner, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("starlight_exporter.runs.process.MAX_ANSWER_BYTES", 1024 * 1024)
    queued, attempts = job(bytes, 2 * 1024 * 1024)
    start(WorkerProcess).submit_job(queued)
    assert only(attempts).outcome == "error"
    assert attempts[0].reason == "the result is larger than 1.0 MiB"


def test_unavailable_process_ends_a_background_job(start: StartRunner) -> None:
    queued, attempts = job(os.getpid)
    start(UnavailableWorker).submit_job(queued)
    assert only(attempts).outcome == "error"


def test_evaluation_interrupts_a_background_job_which_is_restarted(
    handler: RecordingHandler, start: StartRunner, tmp_path: Path
) -> None:
    runner = start(workers(succeed))
    mark = tmp_path / "begun"
    queued, attempts = job(take_long_at_first, mark)
    runner.submit_job(queued)
    wait_until(mark.exists)
    runner.submit(PRODUCTION, "model")
    assert handler.first().outcome == "success"
    assert only(attempts) == Attempt("success", "second time")


def test_background_job_is_terminated_after_timeout(start: StartRunner) -> None:
    queued, attempts = job(signal.pause)
    start(WorkerProcess, timeout=0.5).submit_job(queued)
    assert only(attempts).outcome == "timeout"
    assert not worker_processes()


def test_stop_ends_a_background_job_without_a_report(start: StartRunner) -> None:
    runner = start(WorkerProcess)
    queued, attempts = job(signal.pause)
    runner.submit_job(queued)
    wait_until(worker_processes_exist)
    runner.stop(WAIT)
    assert attempts == []
    assert not worker_processes()


def test_in_thread_task_follows_all_evaluations_and_its_error_stops_nothing(
    handler: RecordingHandler, start: StartRunner
) -> None:
    handler.gate.clear()
    runner = start(workers(succeed))
    order: list[str] = []

    def work() -> None:
        order.append(f"after {len(handler.runs)} evaluations")
        raise ValueError("a bug")

    runner.submit(PRODUCTION, "start")
    runner.submit(RESEARCH, "start")
    runner.submit_job(InThreadTask("reports", work))
    handler.gate.set()
    wait_until(lambda: bool(order))
    assert order == ["after 2 evaluations"]
    runner.submit_job(InThreadTask("reports", lambda: order.append("again")))
    wait_until(lambda: len(order) == 2)


def test_in_thread_task_does_not_delay_an_evaluation(handler: RecordingHandler, start: StartRunner) -> None:
    runner = start(workers(succeed))
    started, evaluated = threading.Event(), threading.Event()
    waited: list[bool] = []

    def work() -> None:
        started.set()
        waited.append(evaluated.wait(WAIT))

    runner.submit_job(InThreadTask("reports", work))
    assert started.wait(WAIT)
    runner.submit(PRODUCTION, "model")
    wait_until(lambda: bool(handler.runs))
    evaluated.set()
    wait_until(lambda: waited == [True])
