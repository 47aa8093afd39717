"""Evaluations on a real Dask cluster: equal to those on threads, on the command line and in the exporter."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from starlight_exporter.analysis.ablation_study import ablation_study
from starlight_exporter.analysis.modes import AblationMode
from starlight_exporter.dataset.cache_settings import CacheSettings
from starlight_exporter.dataset.sources.root import RemoteRoot
from starlight_exporter.evaluation.request import RunRequest
from starlight_exporter.evaluation.results import Execution, Prediction, RunResult
from starlight_exporter.evaluation.run import evaluate
from support.dask_cluster import Cluster, dask_cluster
from support.exporter import Exporter, write_config
from support.images import write_dataset
from support.models import write_random_model
from support.results import without_times
from support.run_requests import run_request
from support.s3 import BUCKET, Objects, s3_environment, s3_server, use_s3
from support.servers import free_port
from support.waiting import wait_until

pytestmark = [pytest.mark.slow, pytest.mark.integration, pytest.mark.timeout(240)]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Return a cluster of two workers."""
    with dask_cluster(tmp_path_factory.mktemp("dask")) as started:
        wait_until(lambda: started.log("scheduler").count("Register worker") == 2, "two workers")
        yield started


@pytest.fixture(scope="module")
def request_(tmp_path_factory: pytest.TempPathFactory) -> RunRequest:
    """Return a local request for 300 images and a model with embeddings."""
    folder = tmp_path_factory.mktemp("images")
    model = write_random_model(folder / "model.onnx", seed=3, scale=40.0, embedding_size=64)
    return run_request(model, write_dataset(folder / "images", clean=140, stego=140, negatives=20))


def numbers(result: RunResult) -> tuple[object, ...]:
    """Return everything but times, the id and how it was executed."""
    evaluation, predictions = without_times(result)
    return replace(evaluation, execution=None), tuple(predictions), result.warnings


def execution(result: RunResult) -> Execution:
    assert result.evaluation.execution is not None
    return result.evaluation.execution


def test_evaluation_equals_that_on_threads(cluster: Cluster, request_: RunRequest, tmp_path: Path) -> None:
    local = evaluate(request_)
    done: list[tuple[int, int]] = []
    remote = replace(request_, engine=cluster.settings, cache=CacheSettings(tmp_path / "cache", 100_000_000))
    cold, warm = evaluate(remote, progress=lambda *state: done.append(state)), evaluate(remote)
    assert numbers(local) == numbers(cold) == numbers(warm)
    assert done[-1] == (300, 300)
    assert (execution(cold).cached_images, execution(cold).decoded_images) == (0, 300)
    assert (execution(warm).cached_images, execution(warm).decoded_images) == (300, 0)
    assert execution(local).engine == "local"
    assert execution(warm).engine == f"dask+{cluster.address}"
    assert execution(warm).processors == execution(local).processors != ()


@pytest.mark.parametrize("mode", ["zero", "mean", "shuffle"])
def test_ablation_equals_that_on_threads(cluster: Cluster, request_: RunRequest, mode: AblationMode) -> None:
    local = ablation_study(request_, mode=mode, streams=("pixels", "alpha"))  # type: ignore[arg-type]
    remote = ablation_study(replace(request_, engine=cluster.settings), mode=mode, streams=("pixels", "alpha"))  # type: ignore[arg-type]
    assert local.ablation == remote.ablation
    assert local.provenance == remote.provenance


def test_workers_read_objects_with_their_own_credentials(
    request_: RunRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("moto")
    pytest.importorskip("s3fs")
    folder = write_dataset(tmp_path / "images", clean=30, stego=30, negatives=4)
    local = evaluate(replace(request_, dataset_root=folder))
    with s3_server() as address:
        Objects(address).put_folder(folder, "images")
        use_s3(monkeypatch, address)
        with dask_cluster(tmp_path / "dask", workers=1, threads=2, settings=s3_environment(address)) as cluster:
            request = replace(request_, dataset_root=RemoteRoot(f"s3://{BUCKET}/images"), engine=cluster.settings)
            remote = evaluate(request)
        log = cluster.log("worker-0")
    assert [verdict(one) for one in remote.predictions] == [verdict(one) for one in local.predictions]
    assert execution(remote).engine == f"dask+{cluster.address}"
    assert "Traceback" not in log


def verdict(one: Prediction) -> tuple[object, ...]:
    return one.path, one.sha256, one.probability, one.verdict, one.method, one.not_measured


def test_cache_on_a_full_disk_is_a_warning(cluster: Cluster, request_: RunRequest, small_disk: Path) -> None:
    local = evaluate(request_)
    remote = evaluate(replace(request_, engine=cluster.settings, cache=CacheSettings(small_disk, 100_000_000)))
    assert numbers(local)[:2] == numbers(remote)[:2]
    assert execution(remote).cache_problem is not None
    assert any("not cached" in warning for warning in remote.warnings)


def test_command_reports_an_unreachable_scheduler_in_one_line(request_: RunRequest, cluster: Cluster) -> None:
    address = f"tcp://127.0.0.1:{free_port()}"
    done = run_command(request_, f"dask+{address}", cluster)
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"starlight evaluate: Dask scheduler {address}: cannot be reached: ")


def test_command_evaluates_on_the_cluster(request_: RunRequest, cluster: Cluster) -> None:
    done = run_command(request_, f"dask+{cluster.address}", cluster)
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines()[-1].endswith(": 300 of 300 (100%)")


def run_command(request: RunRequest, engine: str, cluster: Cluster) -> subprocess.CompletedProcess[str]:
    flags = ("--model", str(request.model_path), "--dataset", str(request.dataset_root), "--engine", engine)
    code = "import sys; from starlight_exporter.cli.main import main; sys.exit(main(sys.argv[1:]))"
    return subprocess.run(
        [sys.executable, "-c", code, "evaluate", *flags, "--latency-sample", "0"],
        env={**os.environ, **cluster.environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def test_exporter_keeps_values_while_the_cluster_is_unreachable(cluster: Cluster, tmp_path: Path) -> None:
    pair = {"model": "production", "dataset": "small"}
    config = write_config(tmp_path, latency={"sample": 0})

    def use(exporter: Exporter, **engine: Any) -> None:
        config.write_text(yaml.safe_dump({**yaml.safe_load(config.read_text()), "engine": engine}))
        httpx.post(f"{exporter.url}/-/reload", timeout=10.0).raise_for_status()
        httpx.post(f"{exporter.url}/api/v1/evaluations", timeout=10.0).raise_for_status()

    with Exporter(config, environment=cluster.environment) as exporter:
        exporter.wait_for_value(1.0, "evaluation_last_run_successful", **pair)
        assert exporter.value("engine_failing", reason="unreachable") is None
        before = exporter.value("evaluation_timestamp_seconds", **pair)

        use(exporter, kind="dask", scheduler=f"tcp://127.0.0.1:{free_port()}")
        exporter.wait_for_value(1.0, "engine_failing", reason="unreachable")
        exporter.wait_for_value(0.0, "evaluation_last_run_successful", **pair)
        assert exporter.value("evaluation_timestamp_seconds", **pair) == before
        assert "cannot be reached" in httpx.get(f"{exporter.url}/", timeout=10.0).text

        use(exporter, kind="dask", scheduler=cluster.address)
        exporter.wait_for_value(1.0, "evaluation_last_run_successful", **pair)
        assert exporter.value("engine_failing", reason="unreachable") == 0
        assert exporter.value("worker_network_isolated") == 0
        assert exporter.value("evaluation_timestamp_seconds", **pair) != before
