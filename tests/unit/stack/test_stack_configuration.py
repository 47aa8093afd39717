"""Configuration files of a run: addresses, absolute paths, other datasets and models."""

from __future__ import annotations

import shutil
import socket
from pathlib import Path

import pytest
import yaml

from stack import configuration, native
from stack.arguments import parse_arguments
from stack.datasets import DATASETS, shipped_datasets
from stack.errors import StackError
from stack.ports import LOOPBACK, SHIPPED, Ports, move_addresses, require_free
from stack.services import services
from starlight_exporter.config import load_config
from starlight_exporter.errors import ConfigError

ROOT = Path(__file__).resolve().parents[3]
MOVED = Ports(exporter=19877, prometheus=19090, alertmanager=19093, notifications=19876, grafana=13000)


def test_moves_every_shipped_address() -> None:
    for file in (ROOT / "prometheus" / "prometheus.yml", ROOT / "alerting" / "alertmanager.yml"):
        moved = move_addresses(file.read_text(), MOVED.addresses())
        for port in SHIPPED.by_service().values():
            assert f"{LOOPBACK}:{port}" not in moved.replace(f"{LOOPBACK}:1{port}", ""), file


def test_swaps_ports_of_two_services() -> None:
    text = f"{LOOPBACK}:{SHIPPED.exporter} {LOOPBACK}:{SHIPPED.prometheus}"
    swapped = move_addresses(text, Ports(exporter=SHIPPED.prometheus, prometheus=SHIPPED.exporter).addresses())
    assert swapped == f"{LOOPBACK}:{SHIPPED.prometheus} {LOOPBACK}:{SHIPPED.exporter}"


def test_prometheus_configuration_uses_the_shipped_rules(tmp_path: Path) -> None:
    settings = yaml.safe_load(configuration.write_prometheus(ROOT, tmp_path, MOVED).read_text())
    shipped = sorted((ROOT / "prometheus" / "rules").glob("*.yml"))
    assert [(tmp_path / name).resolve() for name in settings["rule_files"]] == shipped
    jobs = {job["job_name"]: job["static_configs"][0]["targets"] for job in settings["scrape_configs"]}
    assert jobs["starlight-exporter"] == [f"{LOOPBACK}:{MOVED.exporter}"]


def test_alertmanager_configuration_uses_the_shipped_templates(tmp_path: Path) -> None:
    settings = yaml.safe_load(configuration.write_alertmanager(ROOT, tmp_path, MOVED).read_text())
    shipped = sorted((ROOT / "alerting" / "templates").glob("*.tmpl"))
    assert [(tmp_path / name).resolve() for name in settings["templates"]] == shipped
    # A second start replaces the link.
    configuration.write_alertmanager(ROOT, tmp_path, MOVED)


def test_pattern_characters_of_file_names_are_escaped(tmp_path: Path) -> None:
    (tmp_path / "prometheus" / "rules").mkdir(parents=True)
    shutil.copy(ROOT / "prometheus" / "prometheus.yml", tmp_path / "prometheus")
    (tmp_path / "prometheus" / "rules" / "a[1]?.yml").touch()
    file = configuration.write_prometheus(tmp_path, tmp_path / "run", MOVED)
    assert yaml.safe_load(file.read_text())["rule_files"] == [r"rules/a\[1]\?.yml"]


def test_links_have_the_addresses_of_the_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("prometheus", "prometheus-alertmanager", "grafana"):
        (tmp_path / name).touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    arguments = parse_arguments(["--data", str(tmp_path / "data")])

    def flags() -> list[str]:
        (exporter,) = (one for one in services(arguments, MOVED) if one.name == "exporter")
        return [flag for flag in exporter.command if "-url=" in flag]

    urls = [
        f"--web.{name}-url=http://{LOOPBACK}:{port}/"
        for name, port in (
            ("external", MOVED.exporter),
            ("prometheus", MOVED.prometheus),
            ("alertmanager", MOVED.alertmanager),
            ("grafana", MOVED.grafana),
        )
    ]
    assert flags() == urls
    (tmp_path / "grafana").unlink()
    assert flags() == urls[:3], "without Grafana, alerts have no links to dashboards"


def test_replaces_dataset_and_production_model(tmp_path: Path) -> None:
    images = tmp_path / "My Photos"
    images.mkdir()
    model = tmp_path / "mine.onnx"
    model.touch()
    shipped = ROOT / "config" / "starlight.yml"
    file = configuration.write_exporter(shipped, tmp_path / "run", dataset=images, model=model)
    config = load_config(file)
    assert [(entry.name, entry.path) for entry in config.datasets] == [("my-photos", images)]
    production = [entry for entry in config.models if entry.role == "production"]
    assert [Path(entry.file) for entry in production] == [model]
    assert all(Path(entry.file).is_absolute() for entry in config.models)
    assert config.research is not None
    assert config.research.models_dir == ROOT / "models"


def test_dataset_without_alerts_stays_without(tmp_path: Path) -> None:
    file = tmp_path / "mine.yml"
    file.write_text(
        "models: [{name: production, file: m.onnx, role: production}]\n"
        "datasets: [{name: quiet, path: images, alerts: false}, {name: loud, path: others}]\n"
    )
    written = configuration.write_exporter(file, tmp_path / "run", dataset=None, model=None)
    assert [(one.name, one.alerts) for one in load_config(written).datasets] == [("quiet", False), ("loud", True)]


def test_written_configuration_equals_the_given_one(tmp_path: Path) -> None:
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
        written = configuration.write_exporter(given, tmp_path / "run", dataset=None, model=None)
        assert load_config(written) == load_config(given)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("models: [", "line 1, column 10: "),
        ("datasets: [{name: d, path: d}]", "models: is missing"),
        ("[1, 2]", "expected a mapping of keys to values"),
        ("models: [{name: a, file: a.onnx}]\ndatasets: [{name: d, path: d}]", r"models\[0\].role: is missing"),
        ("models: [{name: a, file: a, role: production}]\ndatasets: [7]", r"datasets\[0\]: expected a mapping"),
    ],
)
def test_reports_a_configuration_error_in_one_line(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "mine.yml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=f"^{file}: .*{message}") as raised:
        configuration.write_exporter(file, tmp_path / "run", dataset=tmp_path, model=None)
    assert "\n" not in str(raised.value)


def test_rejects_a_dataset_folder_that_contains_the_exporters_files(tmp_path: Path) -> None:
    file = tmp_path / "mine.yml"
    file.write_text("models: [{name: a, file: a, role: production}]\ndatasets: [{name: d, path: elsewhere}]\n")
    with pytest.raises(ConfigError, match=r"paths.data: .* is inside"):
        configuration.write_exporter(file, tmp_path / "run", dataset=tmp_path, model=None)


def test_names_a_port_in_use_and_its_flag() -> None:
    with socket.socket() as taken:
        taken.bind((LOOPBACK, 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(StackError, match=rf"port {port} \(exporter\) is in use .*--exporter-port"):
            require_free({"prometheus": 0, "exporter": port})


def test_grafanas_port_is_used_only_if_grafana_is_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert set(native.used_ports(MOVED)) == {"notifications", "alertmanager", "exporter", "prometheus"}
    (tmp_path / "grafana").write_text("#!/bin/sh\n")
    (tmp_path / "grafana").chmod(0o755)
    assert native.used_ports(MOVED) == MOVED.by_service()
    assert native.used_ports(MOVED)["grafana"] == 13000


def test_datasets_that_do_not_exist_yet_are_left_out(tmp_path: Path) -> None:
    shipped = ROOT / "config" / "starlight.yml"
    later = ("payloads", "sizes", "sources", "adversarial")
    written = configuration.write_exporter(shipped, tmp_path / "run", dataset=None, model=None, without=later)
    assert [one.name for one in load_config(written).datasets] == ["reference"]
    rewritten = configuration.write_exporter(shipped, tmp_path / "run", dataset=None, model=None, without=later[2:])
    assert rewritten == written
    assert [one.name for one in load_config(written).datasets] == ["reference", "payloads", "sizes"]


def test_configured_shipped_datasets_are_generated_in_order(tmp_path: Path) -> None:
    folder = ROOT / "datasets"
    assert shipped_datasets(load_config(ROOT / "config" / "starlight.yml"), folder) == tuple(DATASETS)
    file = tmp_path / "mine.yml"
    file.write_text(
        "models: [{name: production, file: m.onnx, role: production}]\n"
        f"datasets: [{{name: mine, path: images}}, {{name: other, path: '{ROOT / 'datasets' / 'sizes'}'}}]\n"
    )
    assert shipped_datasets(load_config(file), folder) == ("sizes",)
