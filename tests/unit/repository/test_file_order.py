"""Order of the test files for several workers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import cast

import pytest

from support.file_order import spread_files


@dataclass(frozen=True)
class Test:
    """What the order reads of a collected test."""

    __test__ = False

    path: Path
    marks: tuple[pytest.Mark, ...]

    def get_closest_marker(self, name: str) -> pytest.Mark | None:
        return next((mark for mark in self.marks if mark.name == name), None)


def order(*files: tuple[str, int, tuple[pytest.MarkDecorator, ...]]) -> list[str]:
    """Return the file names in order, for files with a name, a number of tests, and the marks of the first test."""
    tests = [
        Test(Path(name), tuple(mark.mark for mark in marks) if number == 0 else ())
        for name, count, marks in files
        for number in range(count)
    ]
    return [test.path.name for test in spread_files(cast(list[pytest.Item], tests))]


WAITING, COMPUTING = (pytest.mark.integration, pytest.mark.slow), (pytest.mark.slow,)


def test_tests_of_a_file_stay_together() -> None:
    assert order(("a", 2, ()), ("b", 1, WAITING), ("c", 2, COMPUTING)) == ["b", "c", "c", "a", "a"]


def test_waiting_files_alternate_with_computing_files() -> None:
    files = [*((f"w{n}", 1, WAITING) for n in range(2)), *((f"c{n}", 1, COMPUTING) for n in range(4))]
    assert order(*files) == ["c0", "w0", "c1", "c2", "w1", "c3"]


def test_files_with_longer_time_limits_come_first() -> None:
    limits = (None, 600, 1500)
    files = [(f"w{limit}", 1, (*WAITING, *([] if limit is None else [pytest.mark.timeout(limit)]))) for limit in limits]
    assert order(*files) == ["w1500", "w600", "wNone"]
