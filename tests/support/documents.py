"""Code blocks of documents."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

PRODUCTION = Path(__file__).resolve().parents[2] / "docs" / "production.md"


def blocks(document: Path, language: str) -> list[str]:
    """Return the code blocks of a language, also indented ones."""
    found = re.findall(rf"^( *)```{language}\n(.*?)^\1```$", document.read_text(encoding="utf-8"), re.M | re.S)
    return [textwrap.dedent(text) for _, text in found]


def commands(document: Path) -> list[str]:
    """Return the lines of the shell blocks."""
    return [line for block in blocks(document, "sh") for line in block.splitlines()]


def command(document: Path, beginning: str) -> str:
    """Return the only command that begins with this text."""
    (found,) = {line for line in commands(document) if line.startswith(beginning)}
    return found
