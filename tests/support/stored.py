"""Stored results as an exporter left them on disk."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any


def history_records(data: Path) -> list[dict[str, Any]]:
    """Return the records of the active history file. Raise ValueError for a line that is not JSON."""
    file = data / "history.jsonl"
    return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


def evidence_records(results: Path) -> dict[str, dict[str, Any]]:
    """Return every complete stored evaluation by id. Raise ValueError or sqlite3.Error for one that is damaged."""
    found = {}
    for folder in sorted((results / "evaluations").glob("[!.]*")):
        record = json.loads((folder / "evaluation.json").read_text())
        json.loads((folder / "checks.json").read_text())
        with closing(sqlite3.connect(f"file:{folder / 'predictions.sqlite'}?mode=ro", uri=True)) as store:
            if store.execute("PRAGMA integrity_check").fetchone() != ("ok",):
                raise ValueError(f"{folder.name}: damaged predictions")
        found[folder.name] = record
    return found
