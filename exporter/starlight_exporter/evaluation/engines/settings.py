"""Settings of the engine, importable without it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, get_args

EngineKind = Literal["local", "dask"]
ENGINE_KINDS: Final[tuple[EngineKind, ...]] = get_args(EngineKind)

_ADDRESS: Final = re.compile(r"(tcp|tls)://(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9_.-]+):(\d{1,5})", re.ASCII)
EXPECTED_ADDRESS: Final = "an address such as tcp://scheduler:8786 or tls://scheduler:8786"


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM files for mutual TLS with the scheduler and the workers."""

    ca: Path
    certificate: Path
    key: Path


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """Engine of a run: threads of this process, or the Dask cluster of a scheduler.

    `scheduler` is None for the kind `local`. Without `tls`, the files of a `tls://` address are those of Dask's own
    configuration.
    """

    kind: EngineKind = "local"
    scheduler: str | None = None
    tls: TlsFiles | None = None

    @property
    def needs_network(self) -> bool:
        """Whether the process that runs the evaluation connects to other hosts."""
        return self.kind != "local"

    def describe(self) -> str:
        """Return the engine as on the command line."""
        return self.kind if self.scheduler is None else f"{self.kind}+{self.scheduler}"


LOCAL: Final = EngineSettings()


def parse_engine(text: str) -> EngineSettings:
    """Parse `local`, or the address of a scheduler after `dask+`. Raise ValueError."""
    if text == "local":
        return LOCAL
    kind, _, address = text.partition("+")
    if kind != "dask" or not is_address(address):
        raise ValueError(f"expected local, or dask+ and {EXPECTED_ADDRESS}; got {text}")
    return EngineSettings("dask", address)


def is_address(text: str) -> bool:
    """Return whether a text is the address of a scheduler, with scheme and port."""
    match = _ADDRESS.fullmatch(text)
    return match is not None and 0 < int(match[3]) < 65536
