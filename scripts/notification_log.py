#!/usr/bin/env python3
"""Receive Alertmanager's webhook notifications: print each alert and keep it in a JSON-lines file."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from stack.notification_log import serve
from starlight_exporter.errors import ConfigError, StarlightError
from starlight_exporter.listen_address import parse_listen_address


def _listen_address(text: str) -> tuple[str, int]:
    try:
        return parse_listen_address(text)
    except ConfigError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def main() -> int:
    """Run until SIGTERM or Ctrl-C; 1 where the address or the file cannot be used, 2 for a wrong flag."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--web.listen-address",
        dest="listen_address",
        metavar="HOST:PORT",
        type=_listen_address,
        default="127.0.0.1:9876",
        help="where Alertmanager sends to (default: %(default)s)",
    )
    parser.add_argument(
        "--output",
        metavar="FILE",
        type=Path,
        default=Path("data/notifications.jsonl"),
        help="file that gets one line per notification (default: %(default)s)",
    )
    arguments = parser.parse_args()
    host, port = arguments.listen_address
    try:
        serve(host, port, arguments.output)
    except StarlightError as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
