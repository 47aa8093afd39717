"""The index of stored evaluations: lists folders and reads the entry of each folder once."""

from __future__ import annotations

import threading
from pathlib import Path

import structlog

from starlight_exporter.errors import NewerSchemaError, StorageError
from starlight_exporter.publish.evidence_files import FOLDER_NAME, is_transient, read_entry
from starlight_exporter.publish.retention import Entry, newest_first

_log = structlog.get_logger(__name__)


class EvidenceIndex:
    """The entries below a folder. Other processes may add and delete evaluations at any time."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._lock = threading.Lock()
        # None: the content is damaged or from another version, and stays unusable.
        self._entries: dict[str, Entry | None] = {}
        self._unreadable: frozenset[str] = frozenset()
        self._newer: frozenset[str] = frozenset()

    def entries(self) -> list[Entry]:
        """List the folders and return the entries, newest first. Others are logged once and skipped.

        Raises StorageError if the folders cannot be listed.
        """
        with self._lock:
            names = self._names()
            entries = {name: self._entries[name] for name in names if name in self._entries}
            unreadable, newer = set(), set(self._newer)
            for name in names:
                if name not in entries:
                    try:
                        entries[name] = read_entry(self._root / name)
                    except NewerSchemaError as error:
                        entries[name] = None
                        newer.add(name)
                        _log.warning("evidence of a newer version skipped", folder=name, reason=str(error))
                    except StorageError as error:
                        if is_transient(error):
                            unreadable.add(name)
                        else:
                            entries[name] = None
                        if name not in self._unreadable:
                            _log.warning("damaged evidence skipped", folder=str(self._root / name), reason=str(error))
            self._entries, self._unreadable = entries, frozenset(unreadable)
            self._newer = frozenset(newer.intersection(names))
            return newest_first(entry for entry in entries.values() if entry is not None)

    def forget(self, name: str) -> None:
        """Read this entry again at the next `entries`."""
        with self._lock:
            self._entries.pop(name, None)

    def damaged(self) -> list[str]:
        """Return the folders whose content cannot be used, as of the last `entries`."""
        with self._lock:
            return [name for name, entry in self._entries.items() if entry is None and name not in self._newer]

    def newer(self) -> list[str]:
        """Return the folders that only a newer version can read, as of the last `entries`."""
        with self._lock:
            return sorted(self._newer)

    def folders(self) -> list[str]:
        """Return all folders, usable or not, as of the last `entries`."""
        with self._lock:
            return [*self._entries, *self._unreadable]

    def _names(self) -> list[str]:
        try:
            return sorted(
                item.name
                for item in self._root.iterdir()
                if FOLDER_NAME.fullmatch(item.name) and item.is_dir() and not item.is_symlink()
            )
        except FileNotFoundError:
            return []
        except OSError as error:
            raise StorageError(f"{self._root}: cannot be read: {error.strerror or error}") from error
