"""Tracked text uses the field's standard terms: phrases that need an explanation are rejected.

Only multi-word phrases and unambiguous words are listed; words with a legitimate use are a matter for review.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]

REPLACEMENTS = {
    r"errands?": "background job",
    r"chores?": "in-thread task",
    r"anew": "again",
    r"commonest": "most frequent",
    r"surest": "most confident",
    r"carded": "with a model card",
    r"nobody": "a passive sentence, or the role that is meant",
    r"somebody": "a passive sentence, or the role that is meant",
    r"whoever": "the role that is meant",
    r"to the bit": "bit-exact",
    r"in force": "active, applied",
    r"into force": "becomes active, is applied",
    r"under way": "running",
    r"so many": "the number",
    r"(?:make|makes|made|making) room": "evict",
    r"(?:gave|gives|give) no verdict": "not measured",
    r"(?:taken|takes|took|take) for stego": "false positive, classified as stego",
    r"called stego": "classified as stego",
    r"told apart": "separable, distinguished",
    r"(?:least found|found least)": "lowest detection rate",
    r"beyond chance": "statistically significant",
    r"by chance": "at random, not statistically significant",
    r"chance (?:explains|does not explain|alone)": "(not) statistically significant",
    r"chance (?:is )?not ruled out": "inconclusive",
    r"cannot tell": "inconclusive",
    r"not yet certain": "inconclusive",
    r"held against": "compared with",
    r"(?:is|are) held to": "checked against",
    r"by heart": "overfits",
    r"whole or not at all": "atomically",
    r"whole model": "full model",
    r"in the field": "at deployment prevalence",
    r"(?:stands|stand) (?:beside|in|here|there)": "is next to, is defined in",
    r"(?:lies|lie) (?:beside|here|there)": "is next to, is in",
    r"is gone": "is unavailable, has ended",
    r"can be had": "is available",
    r"is no number": "is not a number",
    r"(?:looks|look|looked|looking) past": "ignore",
    r"markdown mirror": "markdown dashboard",
    r"set aside": "quarantine, skip",
    r"innocent": "benign",
}

EXCLUDED = (
    "*.lock",
    "*.png",
    "*.onnx",
    "*.sqlite",
    "*.gz",
    "*.woff2",
    "LICENSE",
    "tests/resources/*",
    "tests/preview/package-lock.json",
    "tests/unit/repository/test_language.py",
)


def tracked_texts() -> dict[str, str]:
    """Return file name -> text with line breaks and comment markers folded into single spaces."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--", ".", *(f":!{pattern}" for pattern in EXCLUDED)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    texts = {}
    for name in filter(None, listed.stdout.split("\0")):
        file = ROOT / name
        if file.is_file() and not file.is_symlink():
            text = file.read_text(encoding="utf-8")
            # The change log quotes names that were replaced, as code.
            text = re.sub(r"`[^`\n]*`", "", text) if name == "CHANGELOG.md" else text
            texts[name] = re.sub(r"\s*\n[\s#/*>|-]*", " ", text)
    return texts


@pytest.fixture(scope="module")
def texts() -> dict[str, str]:
    return tracked_texts()


@pytest.mark.parametrize("phrase", REPLACEMENTS)
def test_phrase_is_replaced_by_standard_term(texts: dict[str, str], phrase: str) -> None:
    pattern = re.compile(rf"(?<![\w-]){phrase}(?![\w-])", re.IGNORECASE)
    found = [
        f"{name}: …{text[max(0, match.start() - 50) : match.end() + 30]}…"
        for name, text in texts.items()
        for match in pattern.finditer(text)
    ]
    assert not found, f"use “{REPLACEMENTS[phrase]}” instead:\n" + "\n".join(found)


def test_phrase_across_a_line_break_is_found() -> None:
    folded = re.sub(r"\s*\n[\s#/*>|-]*", " ", "images that are taken\n    # for stego")
    assert "taken for stego" in folded
