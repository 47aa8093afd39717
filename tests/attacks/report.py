"""Write the page of the measured attacks."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from attacks.outcome import Outcome

FOLDER: Final = Path(__file__).parents[2] / "benchmarks"
RESULTS: Final = FOLDER / "attacks.json"
PAGE: Final = FOLDER / "attacks.md"

_HEAD: Final = """# Attacks

`python -m attacks --full`, run in the folder `tests`, generates this page from [attacks.json](attacks.json).
Every attack is directed at the running service process; the tests in `tests/attacks` run the same attacks with smaller
counts.
"""


def record(name: str, outcome: Outcome, seconds: float) -> None:
    """Store the outcome of one attack."""
    content: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    content[name] = {**asdict(outcome), "seconds": round(seconds), "machine": _machine()}
    RESULTS.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def write(order: Sequence[str]) -> None:
    """Write the page from the stored outcomes, in this order."""
    content: Mapping[str, Mapping[str, Any]] = json.loads(RESULTS.read_text())
    machines = [content[name]["machine"] for name in order if name in content]
    loads = [machine["load"] for machine in machines]
    lines = [
        _HEAD,
        f"Machine: {machines[0]['architecture']}, {machines[0]['cores']} cores, Python {machines[0]['python']};"
        f" load average {min(loads)} to {max(loads)} at the end of the attacks.",
        "",
        "| Attack | Required | Measured | Met |",
        "|---|---|---|---|",
    ]
    notes = []
    for name in order:
        if name not in content:
            continue
        entry = content[name]
        lines.append(f"| **{entry['attack']}** | {_cell(entry['count'])} | {entry['seconds']:,} s | |")
        lines += [
            f"| | {_cell(one['text'])} | {_cell(one['measured'])} | {'yes' if one['met'] else '**no**'} |"
            for one in entry["requirements"]
        ]
        if entry["note"]:
            notes.append(f"- {entry['attack']}: {entry['note']}.")
    PAGE.write_text("\n".join([*lines, "", *notes]) + "\n", encoding="utf-8")


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;")


def _machine() -> dict[str, Any]:
    return {
        "architecture": platform.machine(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "load": round(os.getloadavg()[0], 1),
    }
