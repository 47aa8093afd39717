"""Wait for a condition instead of sleeping for a fixed time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

TIMEOUT = 60.0
"""Seconds. Generous, so that tests pass on a busy machine; a condition that holds earlier ends the wait at once."""

T = TypeVar("T")


def wait_until(
    condition: Callable[[], T | None],
    description: str | Callable[[], str] = "",
    *,
    timeout: float = TIMEOUT,
    interval: float = 0.05,
) -> T:
    """Return the first result of `condition` that is neither None nor False, polling every `interval` seconds.

    Raises AssertionError with the description after `timeout` seconds. A callable description is evaluated only then.
    """
    deadline = time.monotonic() + timeout
    while True:
        result = condition()
        if result is not None and result is not False:
            return result
        if time.monotonic() >= deadline:
            text = description() if callable(description) else description
            raise AssertionError(f"condition not met within {timeout:g} s: {text}")
        time.sleep(interval)
