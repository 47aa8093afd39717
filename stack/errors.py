"""The error of the stack."""

from __future__ import annotations


class StackError(Exception):
    """The stack cannot start, or one of its services has exited; the text is one line that names the cause."""
