"""File names as text: they may contain any bytes but NUL and the slash."""

from __future__ import annotations

import os
from typing import Final, TypeGuard

LONGEST_COVER: Final = 1024
LONGEST_SOURCE: Final = 64


def printable_path(path: str) -> str:
    """Return `path` with escapes for bytes that are not UTF-8, so that it can be printed and stored."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def one_line(path: str) -> str:
    """Return `path` for messages: control characters and marks that reverse the direction are escaped too."""
    shown = printable_path(path)
    if shown.isprintable():
        return shown
    return "".join(one if one.isprintable() else one.encode("unicode_escape").decode("ascii") for one in shown)


def is_cover(value: object) -> TypeGuard[str]:
    """Return whether a stated cover can be used: printable, 1 to LONGEST_COVER characters."""
    return isinstance(value, str) and 0 < len(value) <= LONGEST_COVER and value.isprintable()


def is_source(value: object) -> TypeGuard[str]:
    """Return whether the name of a source can be used: printable, 1 to LONGEST_SOURCE characters."""
    return isinstance(value, str) and 0 < len(value) <= LONGEST_SOURCE and value.isprintable()
