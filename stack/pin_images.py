"""Add the digests of the current images to their tags in the compose files and Dockerfile, so that they cannot change.

Asks the registry of each image. Without a registry nothing is changed, and the exit code is 2.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path
from typing import Final

from stack.errors import StackError
from stack.registry import ImageName, image_digest
from starlight_exporter.exit_codes import NOT_MEASURED, OK
from starlight_exporter.files import write_text

FILES: Final = (Path("docker-compose.yml"), Path("docker-compose.long-term.yml"), Path("Dockerfile"))
OWN_IMAGE: Final = "starlight-observability"
_IMAGE: Final = re.compile(r"^(\s*image: |ARG BASE=)([\w./:-]+?)(?:@sha256:[0-9a-f]{64})?$", re.MULTILINE)


def add_arguments(parser: argparse.ArgumentParser, root: Path) -> None:
    """Add the flags."""
    parser.add_argument(
        "--registry", metavar="URL", help="a mirror to ask for all images (default: the registry in the name of each)"
    )
    parser.add_argument("--folder", type=Path, default=root, metavar="DIR", help="folder of the files (default: .)")


def run(options: argparse.Namespace) -> int:
    """Print and write the digests, all or none."""
    texts = {options.folder / file: (options.folder / file).read_text(encoding="utf-8") for file in FILES}
    try:
        digests = {
            name: image_digest(ImageName.parse(name), registry=options.registry)
            for name in sorted({name for text in texts.values() for name in images(text)})
        }
    except StackError as error:
        print(f"{options.name}: {error}; nothing was changed", file=sys.stderr)
        return NOT_MEASURED
    for file, text in texts.items():
        write_text(file, pinned(text, digests))
    for name, digest in digests.items():
        print(f"{name}@{digest}")
    return OK


def images(text: str) -> list[str]:
    """Return the names of the images with their tags, without the one that is built here."""
    return [match[2] for match in _IMAGE.finditer(text) if not match[2].startswith(f"{OWN_IMAGE}:")]


def pinned(text: str, digests: dict[str, str]) -> str:
    """Return a text with the digest of each image after its tag, in place of an older digest."""
    return _IMAGE.sub(
        lambda match: f"{match[1]}{match[2]}@{digests[match[2]]}" if match[2] in digests else match[0], text
    )
