"""The configuration is `config/starlight.yml`; `starlight.yml` is still read, with a warning."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from starlight_exporter.cli import main as starlight
from starlight_exporter.cli import service
from starlight_exporter.config import load_config
from starlight_exporter.config_location import locate_config
from support.config_files import VALID

LOGGER = "starlight_exporter.config_location"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "starlight.yml").write_text(VALID)
    return tmp_path


def test_default_is_the_file_in_config(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert locate_config(None, folder) == folder / "config" / "starlight.yml"
    (folder / "config" / "starlight.yml").unlink()
    assert locate_config(None, folder) == folder / "config" / "starlight.yml"
    assert caplog.record_tuples == []


def test_file_at_the_former_location_is_read_with_one_warning(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    (folder / "starlight.yml").write_text(VALID)
    assert locate_config(None, folder) == folder / "starlight.yml"
    ((logger, level, text),) = caplog.record_tuples
    assert (logger, level) == (LOGGER, logging.WARNING)
    assert text.startswith(f"{folder / 'starlight.yml'} is read instead of {folder / 'config' / 'starlight.yml'}; move")


def test_given_file_is_read_without_a_warning(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    (folder / "starlight.yml").write_text(VALID)
    assert locate_config(Path("mine.yml"), folder) == Path("mine.yml")
    assert caplog.record_tuples == []


def test_exporter_reads_the_default_file(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert service.main(["--config.check"]) == 0
    assert capsys.readouterr().out.startswith("config/starlight.yml: ok")
    (folder / "starlight.yml").write_text(VALID)
    assert service.main(["--config.check"]) == 0
    captured = capsys.readouterr()
    assert captured.out.startswith("starlight.yml: ok")
    assert captured.err.count("\n") == 1
    assert "level=warning" in captured.err


@pytest.mark.parametrize("words", [["baseline", "show"], ["history", "export"]])
def test_commands_read_the_file_at_either_location(
    words: list[str], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "config" / "starlight.yml").write_text("models: 1\n")
    assert starlight.main(words) == 2
    assert "config/starlight.yml: models: " in capsys.readouterr().err
    (folder / "starlight.yml").write_text("models: 2\n")
    assert starlight.main(words) == 2
    assert ": starlight.yml: models: " in capsys.readouterr().err


def test_paths_are_relative_to_the_folder_of_the_file(folder: Path) -> None:
    settings = VALID.replace("file: model.onnx", "file: ../models/model.onnx")
    (folder / "config" / "starlight.yml").write_text(settings)
    assert load_config(locate_config(None, folder)).models[0].file == folder / "models" / "model.onnx"
