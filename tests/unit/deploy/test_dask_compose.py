"""The Dask cluster in containers, without a Docker engine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from distributed.cli import dask_scheduler, dask_worker

ROOT = Path(__file__).parents[3]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "deploy" / "dask" / "docker-compose.yml").read_text())
SERVICES: dict[str, Any] = COMPOSE["services"]
STACK: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
HARDENED = ("read_only", "cap_drop", "security_opt", "pids_limit", "restart", "logging")


def test_services_are_hardened_like_the_stack() -> None:
    for name in ("scheduler", "worker-1", "worker-2"):
        assert {key: SERVICES[name][key] for key in HARDENED} == {key: STACK["x-hardened"][key] for key in HARDENED}
        assert "ports" not in SERVICES[name]
        assert SERVICES[name]["mem_limit"]


def test_dask_accepts_the_commands() -> None:
    program, command, *flags = SERVICES["scheduler"]["command"]
    assert (program, command) == ("dask", "scheduler")
    assert dask_scheduler.main.make_context("scheduler", flags).params["port"] == "8786"
    for name in ("worker-1", "worker-2"):
        program, command, *flags = SERVICES[name]["command"]
        assert (program, command) == ("dask", "worker")
        parsed = dask_worker.main.make_context("worker", flags).params
        assert parsed["scheduler"] == "tcp://scheduler:8786"
        assert parsed["local_directory"] == "/tmp"
        assert SERVICES[name]["hostname"] == name


def test_exporter_reaches_only_the_scheduler_and_workers_only_the_cluster() -> None:
    assert SERVICES["exporter"]["networks"] == ["exporter-scheduler"]
    assert SERVICES["scheduler"]["networks"] == ["cluster", "exporter-scheduler"]
    assert SERVICES["worker-1"]["networks"] == SERVICES["worker-2"]["networks"] == ["cluster"]
    for network in COMPOSE["networks"].values():
        assert network == STACK["x-edge"]


def test_image_has_the_locked_packages_of_the_extras() -> None:
    build = SERVICES["exporter"]["build"]
    lock = (ROOT / build["args"]["LOCK"]).read_text()
    small = (ROOT / "requirements.lock").read_text()
    pins = {line.split(" ")[0] for line in small.splitlines() if "==" in line and not line.startswith(" ")}
    assert pins <= {line.split(" ")[0] for line in lock.splitlines()}
    for package in ("distributed", "fsspec", "s3fs", "pyarrow", "aiohttp"):
        assert f"\n{package}==" in lock
    assert f"!{build['args']['LOCK']}" in (ROOT / ".dockerignore").read_text().splitlines()
