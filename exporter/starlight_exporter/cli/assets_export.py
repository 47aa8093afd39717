"""Write the Prometheus rules, Grafana dashboards, runbooks and Alertmanager templates of this version to a folder.

If one of the files exists with other contents, nothing is written.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from starlight_exporter.asset_files import assets_folder, exported_files
from starlight_exporter.errors import StorageError
from starlight_exporter.exit_codes import OK
from starlight_exporter.files import write_text


def add_arguments(parser: argparse.ArgumentParser, root: Path) -> None:  # noqa: ARG001  # no default paths
    """Add the flags."""
    parser.add_argument("folder", type=Path, metavar="DIR", help="folder to write to; created if missing")


def run(options: argparse.Namespace) -> int:
    """Write all files, or none if one of them would replace other contents."""
    source = assets_folder()
    contents = {options.folder / file: (source / file).read_text(encoding="utf-8") for file in exported_files()}
    for file, text in contents.items():
        if _differs(file, text):
            raise StorageError(f"{file}: exists with other contents; nothing was written, choose another folder")
    for file, text in contents.items():
        write_text(file, text)
    print(f"{options.folder}: {len(contents)} files written")
    return OK


def _differs(file: Path, text: str) -> bool:
    try:
        return file.read_bytes() != text.encode("utf-8")
    except FileNotFoundError:
        return False
    except OSError as error:
        raise StorageError(f"{file}: cannot be read: {error.strerror or error}") from error
