"""Discovery of research models: which folders are used, and the warnings about the others."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from starlight_exporter.config import MAX_MODELS, Config, load_config
from starlight_exporter.models.cards import model_in
from starlight_exporter.runs.discovery import discover, with_discovered
from support.unreadable_folder import make_unreadable_folder

CONFIG = """
models: [{name: production, file: models/production/model.onnx, role: production},
         {name: v3, file: models/v3/model.onnx, role: baseline}]
datasets: [{name: reference, path: images}]
research: {models_dir: models, decision: {threshold: 0.25}}
"""


@pytest.fixture
def config(tmp_path: Path) -> Config:
    file = tmp_path / "starlight.yml"
    file.write_text(CONFIG)
    return load_config(file)


def add(folder: Path, name: str, card: str = "title: a try\nfile: model.onnx\n") -> None:
    (folder / "models" / name).mkdir(parents=True)
    (folder / "models" / name / "card.yml").write_text(card)


def add_file(folder: Path, name: str) -> None:
    (folder / "models" / name).mkdir(parents=True)
    (folder / "models" / name / "model.onnx").write_bytes(b"anything")


def test_folders_with_a_card_are_research_models_under_the_common_rule(config: Config, tmp_path: Path) -> None:
    add(tmp_path, "second", "file: other.onnx\n")
    add(tmp_path, "first")
    (tmp_path / "models" / "empty").mkdir()
    found = discover(config)
    assert not found.warnings
    assert [(model.name, model.role, model.file) for model in found.models] == [
        ("first", "research", tmp_path / "models" / "first" / "model.onnx"),
        ("second", "research", tmp_path / "models" / "second" / "other.onnx"),
    ]
    assert {model.decision.rule().describe() for model in found.models} == {"probability > 0.25"}
    together = with_discovered(config, found)
    assert [model.name for model in together.models] == ["production", "v3", "first", "second"]


def test_model_without_a_card_is_a_research_model(config: Config, tmp_path: Path) -> None:
    add_file(tmp_path, "try")
    found = discover(config)
    assert not found.warnings
    (model,) = found.models
    assert (model.name, model.role, model.file) == ("try", "research", tmp_path / "models" / "try" / "model.onnx")
    assert model.decision.rule().describe() == "probability > 0.25"


def test_unreadable_folder_does_not_hide_others(config: Config, tmp_path: Path) -> None:
    assert config.research is not None
    root, closed = make_unreadable_folder(tmp_path / "models")
    (root / "try").mkdir()
    (root / "try" / "model.onnx").write_bytes(b"anything")
    research = config.research.model_copy(update={"models_dir": root})
    found = discover(config.model_copy(update={"research": research}))
    assert [model.name for model in found.models] == ["try"]
    assert not model_in(closed).has_card


def test_skips_model_that_is_configured_by_name(config: Config, tmp_path: Path) -> None:
    add(tmp_path, "v3")
    add_file(tmp_path, "production")
    assert discover(config).models == ()


def test_skips_file_that_is_configured_under_another_name(tmp_path: Path) -> None:
    file = tmp_path / "starlight.yml"
    file.write_text(CONFIG.replace("name: production", "name: live"))
    add_file(tmp_path, "production")
    assert discover(load_config(file)).models == ()


def test_number_of_models_is_limited(config: Config, tmp_path: Path) -> None:
    for number in range(MAX_MODELS):
        add(tmp_path, f"m{number:02}")
    found = discover(config)
    assert [model.name for model in found.models] == [f"m{number:02}" for number in range(MAX_MODELS - 2)]
    assert len(found.warnings) == 2
    assert found.warnings[0].endswith(
        f"m{MAX_MODELS - 2}: not evaluated: the maximum of {MAX_MODELS} models is reached"
    )


@pytest.mark.parametrize("card", ["a: [", "- a", "file: ../production/model.onnx", "file: 3"])
def test_broken_card_is_reported_and_its_model_is_used(config: Config, tmp_path: Path, card: str) -> None:
    add(tmp_path, "broken", card)
    found = discover(config)
    assert [model.file for model in found.models] == [tmp_path / "models" / "broken" / "model.onnx"]
    (warning,) = found.warnings
    assert str(tmp_path / "models" / "broken" / "card.yml") in warning
    assert "\n" not in warning


def test_reports_folder_whose_name_is_not_a_valid_label(config: Config, tmp_path: Path) -> None:
    add(tmp_path, "my model")
    found = discover(config)
    assert found.models == ()
    assert "my model: not evaluated: its name is not a valid label" in found.warnings[0]


def test_reports_missing_folder(config: Config, tmp_path: Path) -> None:
    assert discover(config).warnings == (f"{tmp_path / 'models'}: cannot be read: No such file or directory",)


def test_model_that_is_not_a_regular_file_has_a_row(config: Config, tmp_path: Path) -> None:
    for name in ("pipe", "folder", "link"):
        (tmp_path / "models" / name).mkdir(parents=True)
    os.mkfifo(tmp_path / "models" / "pipe" / "model.onnx")
    (tmp_path / "models" / "folder" / "model.onnx").mkdir()
    (tmp_path / "models" / "link" / "model.onnx").symlink_to("nowhere")
    assert [model.name for model in discover(config).models] == ["folder", "link", "pipe"]
