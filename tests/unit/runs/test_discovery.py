"""Research models that are found in their folder: which are taken, which are not, and what is said of them."""

from __future__ import annotations

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


def test_folders_with_a_card_become_research_models_under_the_common_rule(config: Config, tmp_path: Path) -> None:
    add(tmp_path, "second", "file: other.onnx\n")
    add(tmp_path, "first")
    (tmp_path / "models" / "empty").mkdir()
    found = discover(config)
    assert not found.remarks
    assert [(model.name, model.role, model.file) for model in found.models] == [
        ("first", "research", tmp_path / "models" / "first" / "model.onnx"),
        ("second", "research", tmp_path / "models" / "second" / "other.onnx"),
    ]
    assert {model.decision.rule().describe() for model in found.models} == {"probability > 0.25"}
    together = with_discovered(config, found)
    assert [model.name for model in together.models] == ["production", "v3", "first", "second"]


def test_a_model_without_a_card_is_one_too(config: Config, tmp_path: Path) -> None:
    add_file(tmp_path, "try")
    found = discover(config)
    assert not found.remarks
    (model,) = found.models
    assert (model.name, model.role, model.file) == ("try", "research", tmp_path / "models" / "try" / "model.onnx")
    assert model.decision.rule().describe() == "probability > 0.25"


def test_a_folder_that_cannot_be_looked_into_hides_no_other(config: Config, tmp_path: Path) -> None:
    assert config.research is not None
    root, closed = make_unreadable_folder(tmp_path / "models")
    (root / "try").mkdir()
    (root / "try" / "model.onnx").write_bytes(b"anything")
    research = config.research.model_copy(update={"models_dir": root})
    found = discover(config.model_copy(update={"research": research}))
    assert [model.name for model in found.models] == ["try"]
    assert not model_in(closed).has_card


def test_a_configured_model_is_not_taken_twice(config: Config, tmp_path: Path) -> None:
    add(tmp_path, "v3")
    add_file(tmp_path, "production")
    assert discover(config).models == ()


def test_a_file_that_is_configured_under_another_name_is_not_taken_twice(tmp_path: Path) -> None:
    file = tmp_path / "starlight.yml"
    file.write_text(CONFIG.replace("name: production", "name: live"))
    add_file(tmp_path, "production")
    assert discover(load_config(file)).models == ()


def test_never_more_models_than_labels_allow(config: Config, tmp_path: Path) -> None:
    for number in range(MAX_MODELS):
        add(tmp_path, f"m{number:02}")
    found = discover(config)
    assert [model.name for model in found.models] == [f"m{number:02}" for number in range(MAX_MODELS - 2)]
    assert len(found.remarks) == 2
    assert found.remarks[0].endswith(f"m{MAX_MODELS - 2}: not evaluated: there are {MAX_MODELS} models already")


@pytest.mark.parametrize("card", ["a: [", "- a", "file: ../production/model.onnx", "file: 3"])
def test_a_broken_card_is_told_and_its_model_looked_for_all_the_same(config: Config, tmp_path: Path, card: str) -> None:
    add(tmp_path, "broken", card)
    found = discover(config)
    assert [model.file for model in found.models] == [tmp_path / "models" / "broken" / "model.onnx"]
    (remark,) = found.remarks
    assert str(tmp_path / "models" / "broken" / "card.yml") in remark
    assert "\n" not in remark


def test_a_folder_whose_name_is_no_label_is_told(config: Config, tmp_path: Path) -> None:
    add(tmp_path, "my model")
    found = discover(config)
    assert found.models == ()
    assert "my model: not evaluated: its name is no label" in found.remarks[0]


def test_a_folder_that_is_not_there_is_told(config: Config, tmp_path: Path) -> None:
    assert discover(config).remarks == (f"{tmp_path / 'models'}: cannot be read: No such file or directory",)
