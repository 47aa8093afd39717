"""Untrusted files are opened through `file_access` only: every other way of opening a file has a reason."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[3] / "exporter" / "starlight_exporter"

OPENERS = frozenset(("open", "read_bytes", "read_text", "file_digest", "mmap", "fromfile", "load_cert_chain", "fdopen"))
"""Names of functions and methods that open or read a file."""

OWN = "a file of the exporter itself: its state, cache, results or a temporary folder"
OUTPUT = "an output, which is written"
PACKAGED = "a file of the installed package"
KERNEL = "a file of the kernel"
STORE = "opens a store of the exporter, not a file"

ALLOWED = {
    "activity.py": OWN,
    "file_access.py": "the module itself",
    "files.py": OUTPUT,
    "cli/assets_export.py": PACKAGED,
    "cli/command.py": "redirects standard output to /dev/null",
    "dataset/cache_segment.py": OWN,
    "dataset/content_index.py": OWN,
    "dataset/sources/packing.py": OUTPUT,
    "dataset/sources/tar_index.py": "an archive that `file_access` opened",
    "detector/providers.py": "the version of an installed package",
    "detector/decoding.py": "Pillow opens bytes in memory",
    "evaluation/prediction_table.py": OWN,
    "http_client.py": "opens a URL",
    "processor.py": KERNEL,
    "markdown/writer.py": "its own document",
    "pem_files.py": "OpenSSL reads a file in memory",
    "publish/boot_clock.py": KERNEL,
    "publish/changes.py": STORE,
    "publish/history.py": OWN,
    "publish/history_files.py": OWN,
    "publish/style_sheets.py": PACKAGED,
    "runs/lifecycle.py": STORE,
    "runs/memory.py": KERNEL,
    "runs/memory_group.py": KERNEL,
    "runs/pending_results.py": OWN,
    "runs/progress.py": OWN,
    "runs/scratch.py": OWN,
    "runs/storage.py": STORE,
    "synthesis/build.py": "the manifest of a dataset that this command generated",
    "synthesis/adversarial_recipe.py": PACKAGED,
    "synthesis/cover_sources.py": "Pillow opens a file that `file_access` opened",
    "synthesis/photographs.py": "an image in memory",
    "web/lookup.py": STORE,
    "web/pages/comparison.py": STORE,
    "web/pages/embeddings.py": STORE,
    "web/pages/image.py": STORE,
    "web/pages/images.py": STORE,
    "web/pages/report.py": STORE,
}
"""Modules that open something themselves -> why that is no untrusted file."""


def opening_calls(source: str) -> Iterator[str]:
    """Yield the names of the called functions that open or read a file."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call):
            name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if name in OPENERS:
                yield name


def found() -> dict[str, set[str]]:
    """Return module -> names of its opening calls."""
    calls = {
        file.relative_to(PACKAGE).as_posix(): set(opening_calls(file.read_text(encoding="utf-8")))
        for file in PACKAGE.rglob("*.py")
    }
    return {module: names for module, names in calls.items() if names}


def test_untrusted_files_are_opened_through_file_access() -> None:
    unexpected = {module: names for module, names in found().items() if module not in ALLOWED}
    assert unexpected == {}, "use starlight_exporter.file_access, or add the module with its reason"


def test_every_exception_is_needed() -> None:
    assert set(ALLOWED) - set(found()) == set()


@pytest.mark.parametrize(
    "line",
    [
        "path.open()",
        "open(path)",
        "path.read_bytes()",
        "(root / name).read_text()",
        "os.open(path, 0)",
        "mmap.mmap(1, 0)",
    ],
)
def test_opening_calls_are_found(line: str) -> None:
    assert list(opening_calls(line))
