"""The default location of the configuration file. Imports only the standard library."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Final

CONFIG_FILE: Final = Path("config", "starlight.yml")
"""Relative to the repository, or for installed commands to the current directory."""
FORMER_CONFIG_FILE: Final = Path("starlight.yml")
"""The location up to 0.1.0. It takes precedence, because only a file of the operator can be there. Removed in 0.3.0."""

_log = logging.getLogger(__name__)


def locate_config(given: Path | None, root: Path) -> Path:
    """Return the given path, or else the default location in `root`; log a warning if a file is at the former one."""
    if given is not None:
        return given
    former = root / FORMER_CONFIG_FILE
    if not former.is_file():
        return root / CONFIG_FILE
    _log.warning(
        "%s is read instead of %s; move it there: relative paths in it are resolved against its folder,"
        " and the next version ignores it",
        former,
        root / CONFIG_FILE,
    )
    return former
