"""Users with bcrypt passwords, as the web configuration file lists them."""

from __future__ import annotations

import base64
import hashlib
import threading
from typing import Final

import bcrypt
from cachetools import LRUCache

_CACHE_SIZE: Final = 100


class Users:
    """Check `Authorization` headers. Accepted headers are cached by their hash, because bcrypt is slow by design."""

    def __init__(self, hashes: dict[str, str]) -> None:
        """`hashes` are bcrypt hashes by user name, at least one."""
        self._hashes = {user: value.encode() for user, value in hashes.items()}
        # Checked for an unknown user, so that the response time does not reveal which users exist.
        self._costliest = max(self._hashes.values(), key=lambda value: value[4:6])
        self._accepted: LRUCache[bytes, None] = LRUCache(_CACHE_SIZE)
        self._lock = threading.Lock()

    def cached(self, header: str) -> bool:
        """Return whether this header was accepted before."""
        with self._lock:
            return _digest(header) in self._accepted

    def accept(self, header: str) -> bool:
        """Return whether the header has a user with its password; takes as long for an unknown user."""
        scheme, _, encoded = header.partition(" ")
        try:
            user, colon, password = base64.b64decode(encoded, validate=True).decode().partition(":")
        except ValueError:
            # Not base64, or not UTF-8.
            return False
        if scheme.lower() != "basic" or not colon or "\0" in password:
            return False
        try:
            matches = bcrypt.checkpw(password.encode(), self._hashes.get(user, self._costliest))
        except ValueError:
            # bcrypt accepts at most 72 bytes, so no hash of a longer password exists.
            return False
        if not matches or user not in self._hashes:
            return False
        with self._lock:
            self._accepted[_digest(header)] = None
        return True


def _digest(header: str) -> bytes:
    return hashlib.sha256(header.encode("utf-8", "surrogateescape")).digest()
