"""docs/cli.md and docs/configuration.md are complete. STARLIGHT_UPDATE_GOLDEN=1 rewrites them."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest
import yaml
from pydantic import TypeAdapter

from stack import notification_log, pin_images, smoke_test
from stack.arguments import build_parser
from starlight_exporter.cli.command import script_parser
from starlight_exporter.cli.main import COMMANDS
from starlight_exporter.cli.reference import command_line_reference
from starlight_exporter.config_reference import MEANINGS, Key, configuration_reference, keys
from training import quantise_model, train_model

ROOT = Path(__file__).resolve().parents[3]
DOCS = ROOT / "docs"
OTHER = {
    "notification_log.py": notification_log,
    "pin_images.py": pin_images,
    "quantise_reference_model.py": quantise_model,
    "smoke_compose.py": smoke_test,
    "train_reference_model.py": train_model,
}


def scripts() -> dict[str, str]:
    """Command → script that runs it."""
    modules = {command.__name__: f"starlight {name}" for name, command in COMMANDS.items()}  # type: ignore[attr-defined]
    found = {}
    for script in sorted((ROOT / "scripts").glob("*.py")):
        match = re.search(r'run_command\("([\w.]+)"\)', script.read_text())
        if match and match[1] in modules:
            found[modules[match[1]]] = f"scripts/{script.name}"
    return found


def command_line() -> str:
    parsers = [script_parser(command, name, Path()) for name, command in OTHER.items()]
    for parser in parsers:
        parser.prog = f"scripts/{parser.prog}"
    return command_line_reference(scripts(), [build_parser(), *parsers])


@pytest.mark.parametrize(
    ("file", "text"),
    [("cli.md", command_line()), ("configuration.md", configuration_reference())],
    ids=["cli", "config"],
)
def test_document_equals_the_code(file: str, text: str) -> None:
    if os.environ.get("STARLIGHT_UPDATE_GOLDEN") == "1":
        (DOCS / file).write_text(text, encoding="utf-8")
    assert (DOCS / file).read_text(encoding="utf-8") == text, "STARLIGHT_UPDATE_GOLDEN=1 rewrites it"


def test_every_script_is_documented() -> None:
    text = (DOCS / "cli.md").read_text(encoding="utf-8")
    for script in (ROOT / "scripts").iterdir():
        if script.is_file() and script.name not in ("wrapper.py", "setup", "test"):
            assert f"scripts/{script.name}" in text
    guide = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    assert "scripts/setup" in guide
    assert "scripts/test" in guide


def test_every_configuration_key_has_a_meaning() -> None:
    assert [key.name for key in keys()] == list(MEANINGS)


@pytest.mark.parametrize("key", [key for key in keys() if MEANINGS[key.name][0]], ids=lambda key: key.name)
def test_example_of_a_key_is_valid(key: Key, tmp_path: Path) -> None:
    adapter: TypeAdapter[object] = TypeAdapter(key.field.rebuild_annotation())
    adapter.validate_python(yaml.safe_load(MEANINGS[key.name][0]), context={"folder": tmp_path})
