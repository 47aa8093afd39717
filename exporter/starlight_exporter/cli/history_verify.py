"""Compare the stored evaluations with the samples that Prometheus, or a store with its HTTP API, has of them.

A store has an evaluation by import (`history export`) or by scrapes. Prints one line per difference: an evaluation or
a sample that is not in the store, a sample that is stored twice, another value. Exit code 1: there are differences;
2: the store is unavailable, or there is no evaluation to compare.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from pathlib import Path

from starlight_exporter.cli import history_export
from starlight_exporter.cli.dashboard import duration, url
from starlight_exporter.cli.stored_history import add_history, stored_evaluations
from starlight_exporter.exit_codes import CHECK_FAILED, NOT_MEASURED, OK


def add_arguments(parser: argparse.ArgumentParser, root: Path) -> None:
    """Add the flags."""
    parser.set_defaults(config_root=root)
    add_history(parser)
    parser.add_argument("--prometheus", type=url, required=True, metavar="URL", help="the store")
    parser.add_argument(
        "--prometheus.config.file",
        dest="prometheus_config",
        type=Path,
        metavar="FILE",
        help="authentication and TLS for the store (basic_auth, authorization, tls_config)",
    )
    history_export.add_labels(parser)
    parser.add_argument(
        "--since", type=duration, metavar="DURATION", help="only evaluations of this time, e.g. 15d (default: all)"
    )


def run(options: argparse.Namespace) -> int:
    """Print the differences and a summary."""
    from starlight_exporter.http_client_config import Endpoint
    from starlight_exporter.markdown.prometheus import Prometheus
    from starlight_exporter.publish.history_verification import verify

    store = Prometheus(options.prometheus, Endpoint(options.prometheus, options.prometheus_config).client())
    oldest = 0.0 if options.since is None else time.time() - options.since
    evaluations = (one for one in stored_evaluations(options) if one.finished_at >= oldest)
    origins: Counter[str] = Counter()
    samples = differences = 0
    for verification in verify(evaluations, store, dict(options.labels)):
        origins[verification.origin] += 1
        samples += verification.samples
        differences += len(verification.differences)
        for line in verification.differences:
            print(line)
    if not origins:
        print(f"{options.name}: no evaluations to compare", file=sys.stderr)
        return NOT_MEASURED
    counts = ", ".join(f"{origins[origin]} {origin}" for origin in ("imported", "scraped", "missing"))
    print(f"{origins.total()} evaluations ({counts}), {samples} samples compared: {differences} different")
    return CHECK_FAILED if differences else OK
