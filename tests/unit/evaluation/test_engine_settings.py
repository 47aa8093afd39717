"""Settings of the engine, on the command line and in the configuration file."""

from __future__ import annotations

from pathlib import Path

import pytest

from starlight_exporter.cli.main import main
from starlight_exporter.config import load_config
from starlight_exporter.errors import ConfigError
from starlight_exporter.evaluation.engines.settings import LOCAL, EngineSettings, TlsFiles, parse_engine
from starlight_exporter.runs.configuration import run_request
from support.config_files import VALID, write_config_file


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("local", LOCAL),
        ("dask+tcp://10.0.0.1:8786", EngineSettings("dask", "tcp://10.0.0.1:8786")),
        ("dask+tls://scheduler.example:1", EngineSettings("dask", "tls://scheduler.example:1")),
        ("dask+tcp://[::1]:65535", EngineSettings("dask", "tcp://[::1]:65535")),
    ],
)
def test_parses_engine(text: str, expected: EngineSettings) -> None:
    assert parse_engine(text) == expected
    assert expected.describe() == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "dask",
        "dask+",
        "ray",
        "tcp://h:1",
        "dask+http://h:1",
        "dask+tcp://h",
        "dask+tcp://h:0",
        "dask+tcp://h:65536",
        "dask+tcp://h:1/x",
        "dask+tcp://h:1\n",
        "local+tcp://h:1",
        "dask+tcp://:1",
        "dask+tcp://h:١",
    ],
)
def test_rejects_engine(text: str) -> None:
    with pytest.raises(ValueError, match=r"^expected local, or dask\+ and an address such as "):
        parse_engine(text)


def test_invalid_engine_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", "--model", "m.onnx", "--dataset", "d", "--engine", "ray"]) == 2
    assert "argument --engine: expected local, or dask+ and" in capsys.readouterr().err


def test_configured_engine_is_that_of_requests(tmp_path: Path) -> None:
    section = "engine: {kind: dask, scheduler: 'tls://h:1', tls: {ca: ca.pem, certificate: c.pem, key: /k.pem}}\n"
    config = load_config(write_config_file(tmp_path, VALID + section))
    request = run_request(config, ("production", "reference"), "test")
    assert request is not None
    tls = TlsFiles(tmp_path / "ca.pem", tmp_path / "c.pem", Path("/k.pem"))
    assert request.engine == EngineSettings("dask", "tls://h:1", tls)
    assert request.engine.needs_network
    default = run_request(load_config(write_config_file(tmp_path, VALID)), ("production", "reference"), "test")
    assert default is not None
    assert default.engine == LOCAL
    assert not default.engine.needs_network


@pytest.mark.parametrize(
    ("section", "error"),
    [
        ("{kind: ray}", "engine.kind: "),
        ("{kind: dask}", "engine: scheduler: expected an address such as "),
        ("{kind: dask, scheduler: 'h:1'}", "engine: scheduler: expected an address such as "),
        ("{scheduler: 'tcp://h:1'}", "engine: scheduler: requires `kind: dask`"),
        ("{tls: {ca: a, certificate: b, key: c}}", "engine: tls: requires `kind: dask`"),
        (
            "{kind: dask, scheduler: 'tcp://h:1', tls: {ca: a, certificate: b, key: c}}",
            "engine: tls: requires a scheduler with tls://",
        ),
        ("{kind: dask, scheduler: 'tls://h:1', tls: {ca: a, certificate: b}}", "engine.tls.key: "),
    ],
)
def test_rejects_invalid_section(tmp_path: Path, section: str, error: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(write_config_file(tmp_path, VALID + f"engine: {section}\n"))
    assert error in str(caught.value)
