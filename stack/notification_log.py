"""Receive Alertmanager's webhook notifications: store them in a JSON-lines file, and print each alert on a terminal.

Needs no account with any service. Runs until SIGTERM or Ctrl-C.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from stack.ports import LOOPBACK, SHIPPED
from starlight_exporter.exit_codes import OK
from starlight_exporter.listen_address import format_address, parse_listen_address


def add_arguments(parser: argparse.ArgumentParser, root: Path) -> None:  # noqa: ARG001  # no default in the repository
    """Add the flags."""
    parser.add_argument(
        "--web.listen-address",
        dest="listen_address",
        metavar="HOST:PORT",
        default=format_address(LOOPBACK, SHIPPED.notifications),
        help="address that Alertmanager sends notifications to (default: %(default)s)",
    )
    parser.add_argument(
        "--output",
        metavar="FILE",
        type=Path,
        default=Path("data/notifications.jsonl"),
        help="file to append one line per notification to (default: %(default)s)",
    )


def run(options: argparse.Namespace) -> int:
    """Serve until stopped."""
    from stack.notification_server import serve

    host, port = parse_listen_address(options.listen_address)
    serve(host, port, options.output)
    return OK
