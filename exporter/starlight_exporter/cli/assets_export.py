"""Write the rules, dashboards, runbooks, Alertmanager templates and deployment files of this version to a folder.

If one of the files exists with other contents, nothing is written. If promtool is installed, it checks the rules.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

from starlight_exporter.asset_files import assets_folder, exported_files
from starlight_exporter.errors import StorageError
from starlight_exporter.exit_codes import CHECK_FAILED, OK
from starlight_exporter.files import write_text

PROMTOOL_SECONDS: Final = 60.0


def add_arguments(parser: argparse.ArgumentParser, root: Path) -> None:  # noqa: ARG001  # no default paths
    """Add the flags."""
    parser.add_argument("folder", type=Path, metavar="DIR", help="folder to write to; created if missing")


def run(options: argparse.Namespace) -> int:
    """Write all files, or none if one of them would replace other contents; return 1 if promtool rejects a rule."""
    source = assets_folder()
    contents = {options.folder / file: (source / file).read_text(encoding="utf-8") for file in exported_files()}
    for file, text in contents.items():
        if _differs(file, text):
            raise StorageError(f"{file}: exists with other contents; nothing was written, choose another folder")
    for file, text in contents.items():
        write_text(file, text)
    print(f"{options.folder}: {len(contents)} files written")
    return _check([file for file in contents if file.parent == options.folder / "prometheus" / "rules"])


def _check(rules: list[Path]) -> int:
    """Check rule files with promtool and print the result."""
    promtool = shutil.which("promtool")
    if promtool is None:
        print("promtool is not installed: the rules were not checked")
        return OK
    # Absolute, because a relative folder may begin with a dash.
    command = [promtool, "check", "rules", *(str(file.absolute()) for file in rules)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PROMTOOL_SECONDS)
    except (OSError, subprocess.TimeoutExpired) as error:
        print(f"{promtool}: the rules were not checked: {error}", file=sys.stderr)
        return CHECK_FAILED
    if done.returncode != 0:
        print(f"{promtool} rejects the rules:\n{(done.stdout + done.stderr).strip()}", file=sys.stderr)
        return CHECK_FAILED
    found = sum(int(count) for count in re.findall(r"(\d+) rules found", done.stdout))
    print(f"promtool: {found} rules in {len(rules)} files are valid")
    return OK


def _differs(file: Path, text: str) -> bool:
    try:
        return file.read_bytes() != text.encode("utf-8")
    except FileNotFoundError:
        return False
    except OSError as error:
        raise StorageError(f"{file}: cannot be read: {error.strerror or error}") from error
