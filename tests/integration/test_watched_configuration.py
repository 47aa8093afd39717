"""`--config.watch`: a changed configuration file is loaded, also in a mounted ConfigMap, whose files are links."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from starlight_exporter.runs.application import Application
from support.config_map import MountedConfigMap
from support.exporter import Exporter, write_config
from support.waiting import wait_until

pytestmark = pytest.mark.integration


def config_text(folder: Path, **sections: object) -> str:
    """Return a configuration with absolute paths, as in the chart."""
    content = yaml.safe_load(write_config(folder, latency={"sample": 0}, **sections).read_text())
    content["models"][0]["file"] = str(folder / "models" / "model.onnx")
    content["datasets"] = [one | {"path": str(folder / "images")} for one in content["datasets"]]
    content["paths"] = {"data": str(folder / "data"), "results": str(folder / "results")}
    return yaml.safe_dump(content)


@pytest.fixture
def mounted(tmp_path: Path) -> MountedConfigMap:
    return MountedConfigMap(tmp_path / "config", config_text(tmp_path))


@pytest.fixture
def exporter(mounted: MountedConfigMap) -> Iterator[Exporter]:
    with Exporter(mounted.file, flags=["--config.watch"]) as process:
        yield process


def test_updated_config_map_is_loaded_and_an_invalid_one_is_not(
    exporter: Exporter, mounted: MountedConfigMap, tmp_path: Path
) -> None:
    interval = {"model": "production", "dataset": "small"}
    exporter.wait_for_value(3600.0, "evaluation_interval_seconds", **interval)
    mounted.update(config_text(tmp_path, schedule={"interval": "2h"}))
    exporter.wait_for_value(7200.0, "evaluation_interval_seconds", **interval)
    # An invalid file is reported once, and the active configuration stays.
    mounted.update(config_text(tmp_path, schedule={"interval": "3h"}, no_such_key=1))
    exporter.wait_for_value(0.0, "exporter_config_last_reload_successful")
    assert exporter.value("evaluation_interval_seconds", **interval) == 7200.0
    mounted.update(config_text(tmp_path, schedule={"interval": "4h"}))
    exporter.wait_for_value(14400.0, "evaluation_interval_seconds", **interval)
    assert exporter.value("exporter_config_last_reload_successful") == 1.0
    log = exporter.log.read_text()
    assert log.count("configuration not reloaded") == 1, log
    assert log.count("configuration reloaded") == 2, log


def test_change_between_load_and_start_is_not_missed(mounted: MountedConfigMap, tmp_path: Path) -> None:
    application = Application(mounted.file, watch_config=True)
    assert application.config.schedule.interval == 3600.0
    mounted.update(config_text(tmp_path, schedule={"interval": "2h"}))
    application.start()
    try:
        wait_until(lambda: application.config.schedule.interval == 7200.0, timeout=60)
    finally:
        application.stop()
