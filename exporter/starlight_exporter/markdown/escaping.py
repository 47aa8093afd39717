"""Escape text for markdown."""

from __future__ import annotations


def cell(text: str) -> str:
    """Join the lines of a text and escape markup, so that it breaks neither a table nor the document."""
    joined = " ".join(text.split())
    return "".join(f"\\{char}" if char in "\\`*_[]<>|~#" else char for char in joined)


def code(text: str) -> str:
    """Format text as inline code; characters that would end it are replaced."""
    return f"`{' '.join(text.split()).replace('`', chr(0x2019)).replace('|', chr(0xA6))}`"
