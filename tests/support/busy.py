"""Functions that keep a worker process busy."""

from __future__ import annotations

import ctypes
import time


def sleep_in_python() -> None:
    """Wait with the interpreter released."""
    time.sleep(600)


def hold_the_interpreter() -> None:
    """Wait in C code that holds the interpreter: no other thread of the process runs."""
    ctypes.PyDLL(None).sleep(600)
