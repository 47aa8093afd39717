"""Style sheets of pages and charts: pages link to them, reports and SVG files contain them."""

from __future__ import annotations

from pathlib import Path
from typing import Final

PAGES: Final = Path(__file__).with_name("style.css")
CHARTS: Final = Path(__file__).with_name("chart.css")


def style(*sheets: Path) -> str:
    """Return the text of style sheets for an element `style`."""
    return "".join(sheet.read_text(encoding="utf-8") for sheet in sheets)
