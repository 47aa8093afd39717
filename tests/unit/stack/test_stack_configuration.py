"""What a run changes in the shipped configurations: addresses, absolute paths, somebody's own images."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest
import yaml

from stack import __main__ as up
from stack import configuration
from stack.configuration import LOOPBACK, SHIPPED, Ports
from stack.processes import StackError
from starlight_exporter.config import load_config
from starlight_exporter.errors import ConfigError

ROOT = Path(__file__).resolve().parents[3]
MOVED = Ports(exporter=19877, prometheus=19090, alertmanager=19093, notifications=19876, grafana=13000)


def test_every_shipped_address_is_one_that_a_run_can_move() -> None:
    for file in (ROOT / "prometheus" / "prometheus.yml", ROOT / "alerting" / "alertmanager.yml"):
        moved = configuration.move_addresses(file.read_text(), MOVED)
        for port in SHIPPED.named().values():
            assert f"{LOOPBACK}:{port}" not in moved.replace(f"{LOOPBACK}:1{port}", ""), file


def test_ports_that_trade_places_do_not_swallow_each_other() -> None:
    text = f"{LOOPBACK}:{SHIPPED.exporter} {LOOPBACK}:{SHIPPED.prometheus}"
    swapped = configuration.move_addresses(text, Ports(exporter=SHIPPED.prometheus, prometheus=SHIPPED.exporter))
    assert swapped == f"{LOOPBACK}:{SHIPPED.prometheus} {LOOPBACK}:{SHIPPED.exporter}"


def test_the_prometheus_configuration_of_a_run_finds_the_shipped_rules(tmp_path: Path) -> None:
    settings = yaml.safe_load(configuration.write_prometheus(ROOT, tmp_path, MOVED).read_text())
    assert settings["rule_files"] == [f"{ROOT}/prometheus/rules/*.yml"]
    jobs = {job["job_name"]: job["static_configs"][0]["targets"] for job in settings["scrape_configs"]}
    assert jobs["starlight-exporter"] == [f"{LOOPBACK}:{MOVED.exporter}"]


def test_the_alertmanager_configuration_of_a_run_finds_the_shipped_templates(tmp_path: Path) -> None:
    settings = yaml.safe_load(configuration.write_alertmanager(ROOT, tmp_path, MOVED).read_text())
    assert settings["templates"] == [f"{ROOT}/alerting/templates/*.tmpl"]


def test_somebodys_own_images_and_model_take_the_place_of_the_shipped_ones(tmp_path: Path) -> None:
    images = tmp_path / "My Photos"
    images.mkdir()
    model = tmp_path / "mine.onnx"
    model.touch()
    file = configuration.write_exporter(ROOT / "starlight.yml", tmp_path / "run", dataset=images, model=model)
    config = load_config(file)
    assert [(entry.name, Path(entry.path)) for entry in config.datasets] == [("my-photos", images)]
    production = [entry for entry in config.models if entry.role == "production"]
    assert [Path(entry.file) for entry in production] == [model]
    assert all(Path(entry.file).is_absolute() for entry in config.models)
    assert config.research is not None
    assert config.research.models_dir == ROOT / "models"


def test_a_configuration_of_ones_own_means_what_it_means_to_the_exporter(tmp_path: Path) -> None:
    file = tmp_path / "etc" / "mine.yml"
    (tmp_path / "images").mkdir()
    file.parent.mkdir()
    file.write_text(
        "models:\n"
        "  - {name: a, file: a.onnx, role: production, training_log: log.jsonl}\n"
        "  - {name: b, file: ../b.onnx, role: baseline}\n"
        "datasets: [{name: d, path: ../images}]\n"
        "paths: {cache: null, documents: written, runbooks: books}\n"
        "schedule: {interval: 5m}\n"
    )
    linked = tmp_path / "linked.yml"
    linked.symlink_to(file)
    for given in (file, linked):
        # Without a change of its own, every path and setting is what the exporter reads from the given file.
        written = configuration.write_exporter(given, tmp_path / "run", dataset=None, model=None)
        assert load_config(written) == load_config(given)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("models: [", "line 1, column 10: "),
        ("datasets: [{name: d, path: d}]", "models: is missing"),
        ("[1, 2]", "expected a mapping of keys to values"),
        ("models: [{name: a, file: a.onnx}]\ndatasets: [{name: d, path: d}]", r"models\[0\].role: is missing"),
        ("models: [{name: a, file: a, role: production}]\ndatasets: [7]", r"datasets\[0\]: expected a mapping"),
    ],
)
def test_a_mistake_in_the_configuration_is_one_line_that_names_it(tmp_path: Path, text: str, says: str) -> None:
    file = tmp_path / "mine.yml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=f"^{file}: .*{says}") as told:
        configuration.write_exporter(file, tmp_path / "run", dataset=tmp_path, model=None)
    assert "\n" not in str(told.value)


def test_images_among_which_results_would_be_written_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "mine.yml"
    file.write_text("models: [{name: a, file: a, role: production}]\ndatasets: [{name: d, path: elsewhere}]\n")
    with pytest.raises(ConfigError, match=r"paths.data: .* is inside"):
        configuration.write_exporter(file, tmp_path / "run", dataset=tmp_path, model=None)


def test_a_port_that_is_taken_is_named_with_the_flag_that_moves_it() -> None:
    with socket.socket() as taken:
        taken.bind((LOOPBACK, 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(StackError, match=rf"port {port} \(exporter\) is in use .*--exporter-port"):
            configuration.require_free({"prometheus": 0, "exporter": port})


def test_grafanas_port_is_one_of_a_run_where_grafana_is_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    # What listens on 3000 is no matter of a run that starts no Grafana.
    assert set(up.bound(MOVED)) == {"notifications", "alertmanager", "exporter", "prometheus"}
    (tmp_path / "grafana").write_text("#!/bin/sh\n")
    (tmp_path / "grafana").chmod(0o755)
    assert up.bound(MOVED) == MOVED.named()
    assert up.bound(MOVED)["grafana"] == 13000
