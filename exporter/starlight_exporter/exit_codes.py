"""Exit codes of all commands. Imports only the standard library."""

from __future__ import annotations

from typing import Final

OK: Final = 0
CHECK_FAILED: Final = 1
NOT_MEASURED: Final = 2
"""Usage error, or a required result is not measured or not comparable."""
INCONCLUSIVE: Final = 3
INTERNAL_ERROR: Final = 70
INTERRUPTED: Final = 130
CLOSED_PIPE: Final = 141
