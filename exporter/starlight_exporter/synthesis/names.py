"""Names of the recipes. Imports nothing, so that command lines load fast."""

from __future__ import annotations

from typing import Final

REFERENCE: Final = "reference"
PAYLOADS: Final = "payloads"
SIZES: Final = "sizes"
SOURCES: Final = "sources"
ADVERSARIAL: Final = "adversarial"
NAMES: Final = (REFERENCE, PAYLOADS, SIZES, SOURCES, ADVERSARIAL)
