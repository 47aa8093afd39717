"""The Dask engine on a real scheduler with real workers on loopback."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from distributed import Client

from starlight_exporter.dataset.found_files import FoundFile
from starlight_exporter.errors import EngineError, EvaluationError
from starlight_exporter.evaluation.engines.dask import dask_engine
from starlight_exporter.evaluation.engines.settings import EngineSettings, TlsFiles
from support.certificates import Authority
from support.dask_cluster import Cluster, dask_cluster, worker_pid
from support.network_hosts import network_of_hosts
from support.servers import free_port
from support.shard_jobs import SquareJob, logged, number_shards
from support.waiting import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.integration, pytest.mark.timeout(180)]

SHARDS = number_shards(40, 16)
EXPECTED = [[int(file.path) ** 2 for file in shard] for shard in SHARDS]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Return a cluster of two workers that gives up a task after the second lost worker."""
    settings = {"DASK_DISTRIBUTED__SCHEDULER__ALLOWED_FAILURES": "1"}
    with dask_cluster(tmp_path_factory.mktemp("dask"), settings=settings) as started:
        with Client(started.address, set_as_default=False) as client:
            client.wait_for_workers(2, timeout=60)
        yield started


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Return a folder for what jobs log."""
    (tmp_path / "log").mkdir()
    return tmp_path / "log"


def run(settings: EngineSettings, job: SquareJob) -> list[list[int | str]]:
    """Return the results of all shards."""
    with dask_engine(settings) as engine:
        return list(engine.map(job, SHARDS, progress=lambda _done: None))


def test_results_are_in_order_and_the_job_is_opened_once_per_process(cluster: Cluster, log: Path) -> None:
    done: list[int] = []
    with dask_engine(cluster.settings) as engine:
        results = list(engine.map(SquareJob(log, seconds=0.02), SHARDS, progress=done.append))
    assert results == EXPECTED
    assert done[-1] == 640
    assert done == sorted(done)
    assert engine.processors
    lines = Counter(line.partition(": ")[2] for line in logged(log))
    assert (lines["open"], lines["close"]) == (2, 2)
    # Images are decoded within the memory of the worker, not that of the driver.
    with Client(cluster.address, set_as_default=False) as client:
        limits = client.run(lambda dask_worker: dask_worker.memory_manager.memory_limit)
    assert {lines[f"memory {limit}"] for limit in limits.values()} == {2}
    assert None not in limits.values()
    assert all(lines[f"run {shard[0].path}"] == 1 for shard in SHARDS)


def test_few_shards_are_submitted_ahead_of_the_consumer(cluster: Cluster, log: Path) -> None:
    taken: list[int] = []

    class Listing:
        def __len__(self) -> int:
            return 2000

        def __getitem__(self, number: int, /) -> tuple[FoundFile, ...]:
            taken.append(number)
            return (FoundFile(Path("images"), str(number), "clean"),)

    with dask_engine(cluster.settings) as engine:
        results = engine.map(SquareJob(log), Listing(), progress=lambda _done: None)
        assert next(results) == [0]
        assert max(taken) < 200
        results.close()


def test_killed_worker_loses_and_doubles_no_image(cluster: Cluster, log: Path) -> None:
    killed = threading.Event()

    def kill_once(done: int) -> None:
        if done >= 160 and not killed.is_set():
            killed.set()
            os.kill(worker_pid(cluster.nannies[0]), signal.SIGKILL)

    with dask_engine(cluster.settings) as engine:
        results = list(engine.map(SquareJob(log, seconds=0.05), SHARDS, progress=kill_once))
    assert killed.is_set()
    assert results == EXPECTED


def test_file_that_ends_its_worker_is_excluded(cluster: Cluster, log: Path) -> None:
    results = run(cluster.settings, SquareJob(log, fatal=frozenset({"37"})))
    assert results == [["crashed" if value == 37**2 else value for value in shard] for shard in EXPECTED]


def test_file_that_exceeds_its_time_limit_is_excluded(cluster: Cluster, log: Path) -> None:
    results = run(cluster.settings, SquareJob(log, image_seconds=0.2, blocking=frozenset({"600"})))
    assert results == [["timeout" if value == 600**2 else value for value in shard] for shard in EXPECTED]


def test_unexpected_error_names_the_files(cluster: Cluster, log: Path) -> None:
    with pytest.raises(EvaluationError, match=r"^32 to 47: ZeroDivisionError: a bug$"):
        run(cluster.settings, SquareJob(log, bugs=frozenset({"40"})))


DRIVER = """
import json, sys
from pathlib import Path
from starlight_exporter.evaluation.engines.dask import dask_engine
from starlight_exporter.evaluation.engines.settings import EngineSettings
from support.shard_jobs import SquareJob, number_shards
with dask_engine(EngineSettings("dask", sys.argv[1])) as engine:
    job = SquareJob(Path(sys.argv[2]), seconds=0.1)
    shards = number_shards(int(sys.argv[3]), 16)
    print(json.dumps(list(engine.map(job, shards, progress=lambda _done: None))))
"""
"""A driver in a process of its own: address, folder of the log, number of shards."""


def test_tasks_of_a_killed_driver_end(cluster: Cluster, log: Path) -> None:
    with Client(cluster.address, set_as_default=False) as client:

        def tasks() -> int:
            return int(client.run_on_scheduler(lambda dask_scheduler: len(dask_scheduler.tasks)))

        driver = subprocess.Popen(
            [sys.executable, "-c", DRIVER, cluster.address, str(log), "5000"], env={**os.environ, **cluster.environment}
        )
        try:
            wait_until(lambda: any("run" in line for line in logged(log)), "first shard")
            assert tasks() > 0
        finally:
            driver.kill()
            driver.wait()
        wait_until(lambda: tasks() == 0, "no tasks")


def test_worker_with_other_software_is_refused(tmp_path: Path, log: Path) -> None:
    other = tmp_path / "other" / "pillow-0.1.dist-info"
    other.mkdir(parents=True)
    (other / "METADATA").write_text("Metadata-Version: 2.1\nName: pillow\nVersion: 0.1\n")
    with dask_cluster(tmp_path / "cluster", workers=0) as cluster:
        path = f"{tmp_path / 'other'}{os.pathsep}{cluster.environment['PYTHONPATH']}"
        cluster.start_worker(environment={"PYTHONPATH": path}, flags=("--no-nanny",))
        with pytest.raises(EngineError, match=r"worker tcp://.*: pillow 0\.1, the driver has \d") as caught:
            run(cluster.settings, SquareJob(log))
    assert caught.value.reason == "version"
    assert logged(log) == []


def test_worker_without_onnxruntime_is_refused(tmp_path: Path, log: Path) -> None:
    import distributed

    packages = tmp_path / "packages"
    packages.mkdir()
    for entry in Path(distributed.__file__).parents[1].iterdir():
        if not entry.name.startswith("onnxruntime"):
            (packages / entry.name).symlink_to(entry)
    with dask_cluster(tmp_path / "cluster", workers=0) as cluster:
        path = f"{cluster.environment['PYTHONPATH']}{os.pathsep}{packages}"
        cluster.start_worker(environment={"PYTHONPATH": path}, flags=("--no-nanny",), python=("-S",))
        with pytest.raises(EngineError, match=r"onnxruntime is not installed, the driver has \d") as caught:
            run(cluster.settings, SquareJob(log))
    assert caught.value.reason == "version"


def test_unreachable_scheduler_is_an_error_of_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("starlight_exporter.evaluation.engines.dask.CONNECT_SECONDS", 0.5)
    address = f"tcp://127.0.0.1:{free_port()}"
    with pytest.raises(EngineError) as caught:
        run(EngineSettings("dask", address), SquareJob(tmp_path))
    assert caught.value.reason == "unreachable"
    assert str(caught.value).startswith(f"Dask scheduler {address}: cannot be reached: ")
    assert "\n" not in str(caught.value)


def test_full_scratch_disk_does_not_change_results(small_disk: Path, tmp_path: Path, log: Path) -> None:
    with dask_cluster(tmp_path / "cluster", workers=0) as cluster:
        cluster.start_worker(flags=("--no-nanny",), folder=small_disk)
        assert run(cluster.settings, SquareJob(log)) == EXPECTED
        assert "time limits are not enforced: " in cluster.log("worker-0")


def test_lost_scheduler_ends_the_run_with_mutual_tls_before(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, log: Path
) -> None:
    monkeypatch.setattr("starlight_exporter.evaluation.engines.dask.CONNECT_SECONDS", 4.0)
    authority = Authority("authority")
    certificate, key = authority.issue(tmp_path, "cluster")
    tls = TlsFiles(authority.write(tmp_path / "ca.crt"), certificate, key)
    with dask_cluster(tmp_path / "cluster", workers=0, tls=tls) as cluster:
        cluster.start_worker(flags=("--no-nanny",))
        assert cluster.address.startswith("tls://")
        assert run(cluster.settings, SquareJob(log)) == EXPECTED

        other = Authority("other")
        foreign, foreign_key = other.issue(tmp_path, "foreign")
        with pytest.raises(EngineError, match="cannot be reached") as caught:
            run(EngineSettings("dask", cluster.address, TlsFiles(tls.ca, foreign, foreign_key)), SquareJob(log))
        assert caught.value.reason == "unreachable"

        def kill(done: int) -> None:
            if done >= 32 and cluster.scheduler is not None:
                cluster.scheduler.kill()

        with pytest.raises(EngineError, match="the connection was lost") as caught, dask_engine(cluster.settings) as e:
            list(e.map(SquareJob(log, seconds=0.05), SHARDS, progress=kill))
        assert caught.value.reason == "lost"


def test_shards_of_a_host_that_is_cut_off_run_on_another(tmp_path: Path, log: Path) -> None:
    settings = {"DASK_DISTRIBUTED__SCHEDULER__WORKER_TTL": "4s"}
    with (
        network_of_hosts(2) as network,
        dask_cluster(tmp_path / "cluster", workers=0, settings=settings, host=network.hub) as cluster,
    ):
        for host in network.hosts:
            cluster.start_worker(host=host, flags=("--no-nanny",))
        wait_until(lambda: cluster.log("scheduler").count("Register worker") == 2, "two workers")
        driver = subprocess.Popen(
            [*network.hub.prefix, sys.executable, "-c", DRIVER, cluster.address, str(log), "40"],
            env={**os.environ, **cluster.environment},
            stdout=subprocess.PIPE,
        )
        try:
            wait_until(lambda: len(list(log.iterdir())) == 2, "shards on both hosts")
            network.cut(network.hosts[1])
            output, _ = driver.communicate(timeout=120)
        finally:
            driver.kill()
            driver.wait()
        assert json.loads(output) == EXPECTED
