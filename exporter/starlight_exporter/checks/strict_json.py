"""Strict reading of JSON: numbers as decimals; duplicate, unknown and wrongly typed values are errors with a key."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Final

from starlight_exporter.errors import BaselineError
from starlight_exporter.file_access import read_content
from starlight_exporter.formatting import integer

MAX_FILE_BYTES: Final = 64 * 1024 * 1024
MAX_VALUES: Final = 1_000_000
"""Values of a file, of which each takes up to fifty times its bytes in the memory of the exporter."""
MAX_COUNT: Final = 10**12
MAX_NUMBER: Final = 10**9
MAX_TEXT: Final = 10_000
_SHOWN: Final = 40

_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class _Pairs:
    """A parsed object as key-value pairs, in which duplicate keys are still visible."""

    pairs: tuple[tuple[str, object], ...]


@dataclass(frozen=True, slots=True)
class JsonObject:
    """An object of a JSON file with its place in the file. All readers raise BaselineError, which names both.

    An omitted or null value is None or empty unless the reader is for required values.
    """

    path: Path
    key: str
    values: dict[str, object]

    def child(self, name: str, known: Sequence[str] | None) -> JsonObject:
        """Return the object of this name; empty if it is omitted or null. `known` are its keys, None for any."""
        value = self.values.get(name)
        if value is None:
            return JsonObject(self.path, self.place(name), {})
        return _object(self.path, self.place(name), value, known)

    def has(self, name: str) -> bool:
        """Return whether the value exists and is not null."""
        return self.values.get(name) is not None

    def number(self, name: str) -> Decimal | None:
        """Return a number from 0 to MAX_NUMBER."""
        value = self.values.get(name)
        if value is None:
            return None
        if not isinstance(value, Decimal) or not value.is_finite() or value < 0:
            raise self.error(name, f"expected a number that is not negative, got {shown(value)}")
        if value > MAX_NUMBER:
            raise self.error(name, f"expected a number up to {integer(MAX_NUMBER)}, got {shown(value)}")
        return value

    def count(self, name: str) -> int | None:
        """Return a whole number from 0 to MAX_COUNT."""
        value = self.values.get(name)
        if value is None:
            return None
        if not isinstance(value, Decimal) or not value.is_finite() or not 0 <= value <= MAX_COUNT or value % 1:
            raise self.error(name, f"expected a whole number from 0 to {integer(MAX_COUNT)}, got {shown(value)}")
        return int(value)

    def text(self, name: str) -> str | None:
        """Return a text that is not empty."""
        value = self.values.get(name)
        if value is None:
            return None
        if not isinstance(value, str) or not value or len(value) > MAX_TEXT or not _is_unicode(value):
            raise self.error(name, f"expected a text of 1 to {integer(MAX_TEXT)} characters, got {shown(value)}")
        return value

    def sha256(self, name: str) -> str | None:
        """Return 64 hexadecimal digits in lower case."""
        value = self.values.get(name)
        return None if value is None else self._sha256(name, value)

    def sha256_set(self, name: str) -> frozenset[str] | None:
        """Return the members of a list of different SHA-256."""
        value = self.values.get(name)
        if value is None:
            return None
        if not isinstance(value, list):
            raise self.error(name, f"expected a list, got {shown(value)}")
        found: set[str] = set()
        for index, entry in enumerate(value):
            digits = self._sha256(f"{name}[{index}]", entry)
            if digits in found:
                raise self.error(f"{name}[{index}]", f"duplicate SHA-256 {digits}")
            found.add(digits)
        return frozenset(found)

    def require(self, names: Sequence[str]) -> None:
        """Raise BaselineError for the first of these values that is omitted or null."""
        for name in names:
            if not self.has(name):
                raise self.error(name, "missing")

    def place(self, name: str) -> str:
        """Return the full key of a value of this object."""
        shown_name = _shown_key(name)
        return f"{self.key}.{shown_name}" if self.key else shown_name

    def error(self, name: str, problem: str) -> BaselineError:
        """Return the error of a value."""
        return BaselineError(f"{self.path}: {self.place(name)}: {problem}")

    def _sha256(self, name: str, value: object) -> str:
        digits = value.lower() if isinstance(value, str) else ""
        if not _SHA256.fullmatch(digits):
            raise self.error(name, f"expected a SHA-256 of 64 hexadecimal digits, got {shown(value)}")
        return digits


def read_json_object(path: Path, known: Sequence[str]) -> JsonObject:
    """Read a file that contains one object with these keys. Raise BaselineError, which names file and key."""
    text = _read(path)
    # Marks in texts count too: a baseline has few of them.
    if sum(text.count(mark) for mark in ",[{") > MAX_VALUES:
        raise BaselineError(f"{path}: has more than {integer(MAX_VALUES)} values")
    try:
        content = json.loads(
            text,
            parse_float=Decimal,
            parse_int=Decimal,
            parse_constant=Decimal,
            object_pairs_hook=lambda pairs: _Pairs(tuple(pairs)),
        )
    except (ValueError, RecursionError, InvalidOperation) as error:
        raise BaselineError(f"{path}: not JSON: {error or type(error).__name__}") from error
    return _object(path, "", content, known)


def shown(value: object) -> str:
    """Return a short form of a parsed value for error texts."""
    match value:
        case _Pairs():
            return "an object"
        case list():
            return "a list"
        case Decimal():
            return _shortened(str(value))
        case _:
            # Escaped, because control characters and lone surrogates cannot be printed.
            return _shortened(json.dumps(value))


def _read(path: Path) -> str:
    try:
        data = read_content(path, max_bytes=MAX_FILE_BYTES).data
    except FileNotFoundError as error:
        raise BaselineError(f"{path}: no such baseline file") from error
    except OSError as error:
        raise BaselineError(f"{path}: cannot be read: {error.strerror or error}") from error
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BaselineError(f"{path}: not UTF-8 text") from error


def _object(path: Path, key: str, value: object, known: Sequence[str] | None) -> JsonObject:
    where = f"{path}: {key}: " if key else f"{path}: "
    if not isinstance(value, _Pairs):
        raise BaselineError(f"{where}expected an object")
    values: dict[str, object] = {}
    for name, entry in value.pairs:
        if name in values:
            raise BaselineError(f"{where}duplicate key {_shown_key(name)}")
        # A misspelt key would otherwise disable a check.
        if known is not None and name not in known:
            raise BaselineError(f"{where}unknown key {_shown_key(name)}; expected {', '.join(known)}")
        if known is None and not (name and len(name) <= MAX_TEXT and _is_unicode(name)):
            raise BaselineError(f"{where}expected names of 1 to {integer(MAX_TEXT)} characters, got {_shown_key(name)}")
        values[name] = entry
    return JsonObject(path, key, values)


def _shown_key(name: str) -> str:
    return name if name.isprintable() and 0 < len(name) <= 2 * _SHOWN else _shortened(json.dumps(name))


def _shortened(text: str) -> str:
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"


def _is_unicode(text: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in text)
