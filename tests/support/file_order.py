"""Order of the test files: those that wait for servers next to those that compute, the longest first."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import pytest

File = list[pytest.Item]
"""The tests of one file."""


def spread_files(items: Iterable[pytest.Item]) -> list[pytest.Item]:
    """Return the tests in an order in which several workers keep all cores busy: each file stays together.

    Files with `integration` tests mostly wait, so they alternate with files of `slow` tests, each kind by its longest
    time limit. All other files take little time and come last, so that no worker runs a long file at the end.
    """
    files: dict[Path, File] = {}
    for item in items:
        files.setdefault(item.path, []).append(item)
    by_limit = sorted(files.values(), key=_time_limit, reverse=True)
    waiting = [file for file in by_limit if _has(file, "integration")]
    computing = [file for file in by_limit if _has(file, "slow") and not _has(file, "integration")]
    others = [file for file in by_limit if not _has(file, "integration") and not _has(file, "slow")]
    return [item for file in (*_alternated(waiting, computing), *others) for item in file]


def _has(file: File, marker: str) -> bool:
    return any(item.get_closest_marker(marker) for item in file)


def _time_limit(file: File) -> float:
    """Return the highest time limit that the tests of a file declare, 0 without one."""
    marks = (item.get_closest_marker("timeout") for item in file)
    return max((float(mark.args[0]) for mark in marks if mark is not None and mark.args), default=0.0)


def _alternated(*kinds: Sequence[File]) -> list[File]:
    """Return the files of all kinds, those of each kind in order and at equal distances."""
    placed = [((index + 0.5) / len(kind), file) for kind in kinds for index, file in enumerate(kind)]
    return [file for _, file in sorted(placed, key=lambda one: one[0])]
