"""Names in a dataset that are not images. They are compared in full, regardless of case."""

from __future__ import annotations

from typing import Final

SIDECAR_SUFFIX: Final = ".json"
MANIFEST_NAMES: Final = ("labels.csv", "labels.jsonl", "labels.parquet")
"""Names of a label manifest, in the root of a dataset."""
METADATA_NAMES: Final = ("metadata.csv", "metadata.jsonl")
"""Names of the metadata of ImageFolder, in the root of a dataset."""
LABEL_FILES: Final = (*MANIFEST_NAMES, *METADATA_NAMES)
"""Names of the files in the root of a dataset that state labels."""
IGNORED_SUFFIXES: Final = frozenset(
    (
        *(".json", ".jsonl", ".csv", ".tsv", ".parquet", ".yml", ".yaml", ".toml"),
        *(".md", ".rst", ".txt", ".html", ".log", ".sha256"),
    )
)
"""Suffixes of tables and notes; JSON files next to stego files are sidecars."""
IGNORED_FILES: Final = frozenset(
    (
        *("readme", "license", "licence", "copying", "notice", "changelog", "authors", "contributors"),
        *("thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r"),
    )
)
"""Names of files without one of these suffixes, in lower case."""
IGNORED_FOLDERS: Final = frozenset(
    ("@eadir", "@recycle", "@tmp", "#recycle", "#snapshot", "__macosx", "$recycle.bin", "lost+found")
)
"""Names of folders that file servers and archivers create, in lower case."""


def is_ignored(name: str) -> bool:
    """Return whether a file with this name is not an image: hidden (leading dot), a note, a table or a system file."""
    lower = name.lower()
    # Without PurePosixPath, which takes a third of the time to list a dataset.
    _, dot, suffix = lower.rpartition(".")
    return name.startswith(".") or lower in IGNORED_FILES or f"{dot}{suffix}" in IGNORED_SUFFIXES


def is_ignored_folder(name: str) -> bool:
    """Return whether a folder with this name is not searched: hidden (leading dot), or made by a file server."""
    return name.startswith(".") or name.lower() in IGNORED_FOLDERS


def may_be_sidecar(name: str) -> bool:
    """Return whether a file with this name can contain the labels of an image."""
    return name.endswith(SIDECAR_SUFFIX) and not name.startswith(".")
