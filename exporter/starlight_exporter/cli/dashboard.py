"""Write the metrics in Prometheus as a markdown dashboard with charts next to it.

Exit code 2: Prometheus does not answer (the document then states since when it is stale) or the document cannot be
written. With --watch it runs until SIGTERM or Ctrl-C.
"""

from __future__ import annotations

import argparse
import re
import signal
from pathlib import Path

from starlight_exporter.cli.arguments import add_document
from starlight_exporter.durations import parse_duration
from starlight_exporter.exit_codes import OK
from starlight_exporter.http_client import has_credentials
from starlight_exporter.signals import SignalReceiver

DOCUMENT = Path("docs", "grok", "performance_dashboard.md")


def add_arguments(parser: argparse.ArgumentParser, root: Path) -> None:
    """Add the flags."""
    parser.add_argument("--prometheus", type=url, required=True, metavar="URL", help="source of the metrics")
    parser.add_argument(
        "--prometheus.config.file",
        dest="prometheus_config",
        type=Path,
        metavar="FILE",
        help="authentication and TLS for Prometheus (basic_auth, authorization, tls_config)",
    )
    parser.add_argument("--alertmanager", type=url, metavar="URL", help="source of the silences")
    parser.add_argument(
        "--alertmanager.config.file",
        dest="alertmanager_config",
        type=Path,
        metavar="FILE",
        help="authentication and TLS for Alertmanager",
    )
    add_document(parser, root, DOCUMENT)
    parser.add_argument("--watch", type=duration, metavar="DURATION", help="update periodically, e.g. every 30s")


def run(options: argparse.Namespace) -> int:
    """Write the document once, or periodically with --watch."""
    from starlight_exporter.http_client_config import Endpoint
    from starlight_exporter.markdown.writer import DashboardWriter

    prometheus = Endpoint(options.prometheus, options.prometheus_config)
    alertmanager = None if options.alertmanager is None else Endpoint(options.alertmanager, options.alertmanager_config)
    for endpoint in filter(None, (prometheus, alertmanager)):
        # With --watch, later errors are only logged.
        endpoint.client()
    writer = DashboardWriter(prometheus, alertmanager, options.output)
    if options.watch is None:
        changed = writer.update()
        print(f"{options.output}: {'written' if changed else 'unchanged'}")
        return OK
    with SignalReceiver((signal.SIGTERM, signal.SIGINT)) as signals:
        writer.run(
            every=options.watch,
            stopped=lambda seconds: signals.wait(seconds) is not None,
            log=lambda line: print(f"{options.name}: {line}", flush=True),
        )
    return OK


def duration(text: str) -> float:
    """Parse a positive duration such as `30s` or `5m`; return seconds."""
    try:
        seconds = parse_duration(text)
    except ValueError:
        seconds = 0.0
    if seconds == 0:
        raise argparse.ArgumentTypeError(f"expected a duration such as 30s or 5m, got {text}")
    return seconds


def url(text: str) -> str:
    """Check an http or https URL without credentials."""
    if has_credentials(text):
        raise argparse.ArgumentTypeError(
            "credentials in the URL are not supported, because command lines are public: use basic_auth in the file of"
            " --prometheus.config.file or --alertmanager.config.file"
        )
    if not re.fullmatch(r"https?://[^/\s]+(/\S*)?", text):
        raise argparse.ArgumentTypeError(f"expected an address such as http://127.0.0.1:9090, got {text}")
    return text
