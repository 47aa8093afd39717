"""Execution providers of ONNX Runtime: the hardware and library that run a model. Light to import.

A session also has `CPUExecutionProvider` for the operators that the other providers do not support, and ONNX Runtime
replaces a provider that cannot be used by it: `provider_problem` compares what was requested with what a session has.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Final

CPU_PROVIDER: Final = "CPUExecutionProvider"
PROVIDER_NAME: Final = re.compile(r"[A-Za-z0-9]{1,60}ExecutionProvider")
_VERSION: Final = re.compile(r'^__version__ = "([^"]+)"', re.MULTILINE)


@dataclass(frozen=True, slots=True)
class ExecutionProvider:
    """An execution provider and its options, sorted by name: `CUDAExecutionProvider (device_id=1)`."""

    name: str
    options: tuple[tuple[str, str], ...] = ()

    @classmethod
    def with_options(cls, name: str, options: Mapping[str, object]) -> ExecutionProvider:
        """Return a provider; the values of its options are passed to ONNX Runtime as text."""
        return cls(name, tuple(sorted((key, str(value)) for key, value in options.items())))

    def describe(self) -> str:
        """Return name and options as one line."""
        options = ", ".join(f"{key}={value}" for key, value in self.options)
        return f"{self.name} ({options})" if options else self.name


Providers = tuple[ExecutionProvider, ...]
"""In order of preference: an operator runs on the first provider that supports it."""

CPU: Final[Providers] = (ExecutionProvider(CPU_PROVIDER),)


def describe_providers(providers: Providers) -> str:
    """Return the providers as one line. The CPU at the end, which every session has, is omitted after another one."""
    last = providers[-1:] == CPU and len(providers) > 1
    return ", ".join(provider.describe() for provider in (providers[:-1] if last else providers))


def parse_provider(text: str) -> ExecutionProvider:
    """Parse `NAME` or `NAME:KEY=VALUE,KEY=VALUE`. Raise ValueError with what is expected."""
    name, colon, rest = text.partition(":")
    pairs = [part.partition("=") for part in rest.split(",")] if colon else []
    options = {key.strip(): value.strip() for key, _, value in pairs}
    if not PROVIDER_NAME.fullmatch(name) or not all(options) or not all(equals for _, equals, _ in pairs):
        raise ValueError(f"expected an execution provider such as CUDAExecutionProvider:device_id=1, got {text!r}")
    if len(options) < len(pairs):
        raise ValueError(f"expected each option of {name} once, got {text!r}")
    return ExecutionProvider.with_options(name, options)


def duplicate_provider(providers: Sequence[ExecutionProvider]) -> str | None:
    """Return the name of a provider that is listed twice, which ONNX Runtime rejects; None if there is none."""
    names = [provider.name for provider in providers]
    return next((name for name in names if names.count(name) > 1), None)


def provider_problem(requested: Providers, names: Sequence[str]) -> str | None:
    """Return how the providers of a session differ from the requested ones; None if they do not."""
    expected = [provider.name for provider in requested]
    if CPU_PROVIDER not in expected:
        expected.append(CPU_PROVIDER)
    if list(names) == expected:
        return None
    return f"requested {', '.join(expected)}, but ONNX Runtime uses {', '.join(names) or 'none'}"


@cache
def onnxruntime_version() -> str:
    """Return the version of the package `onnxruntime` without importing it.

    Several distributions contain it (`onnxruntime-gpu`, `onnxruntime-openvino`, …), so the metadata of `onnxruntime`
    can be missing, or those of another one than is imported.
    """
    found = importlib.util.find_spec("onnxruntime")
    if found is not None and found.origin is not None:
        match = _VERSION.search(Path(found.origin).read_text(encoding="utf-8", errors="replace"))
        if match is not None:
            return match[1]
    return metadata.version("onnxruntime")
