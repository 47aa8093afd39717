"""The document on disk: written whole, only when it says something new, and marked where it cannot be kept up."""

from __future__ import annotations

from pathlib import Path

from starlight_exporter.errors import StorageError
from starlight_exporter.files import write_text
from starlight_exporter.formatting import utc
from starlight_exporter.markdown.document import STALE, UPDATED, Document


def write_document(path: Path, document: Document) -> bool:
    """Write pictures and text where they differ from what is there, the time of the update apart; whether any did.

    Pictures come first, so that no document shows one that is not there yet. StorageError names the file.
    """
    changed = [
        (beside, picture)
        for name, picture in document.pictures.items()
        if _text(beside := path.with_name(name)) != picture
    ]
    for file, picture in changed:
        write_text(file, picture)
    before = _text(path)
    if not changed and before is not None and _without_time(before) == _without_time(document.text):
        return False
    write_text(path, document.text)
    return True


def mark_stale(path: Path, *, since: float, reason: str) -> bool:
    """Say on top of the document since when it is not kept up; everything else stays. Whether there was one to mark.

    A document that says so already keeps its first time.
    """
    before = _text(path)
    if before is None:
        return False
    lines = before.splitlines()
    if not any(line.startswith(STALE) for line in lines):
        place = next((i for i, line in enumerate(lines) if line.startswith(UPDATED)), 0) + 1
        lines[place:place] = ["", f"{STALE}{utc(since)}.** {reason} What follows is as of the last update."]
        write_text(path, "\n".join(lines) + "\n")
    return True


def _text(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise StorageError(f"{path}: cannot be read: {error}") from error


def _without_time(text: str) -> list[str]:
    return [line for line in text.splitlines() if not line.startswith(UPDATED)]
