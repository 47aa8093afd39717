#!/usr/bin/env python3
"""Write what Prometheus knows of the detectors as a markdown document with charts beside it.

Exit code 0: written, or nothing new to write; 1: Prometheus gives no answer (the document then says since when it is
stale) or the document cannot be written; 2: a mistake on the command line. With --watch it runs until SIGTERM or
Ctrl-C.
"""

from __future__ import annotations

import argparse
import re
import signal
import sys
import threading
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from starlight_exporter.errors import StarlightError
from starlight_exporter.markdown.watch import Mirror, watch

OUTPUT = Path(__file__).resolve().parent.parent / "docs" / "grok" / "performance_dashboard.md"
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


def duration(text: str) -> float:
    """`30s`, `5m`: seconds."""
    parts = re.fullmatch(r"(\d+)(ms|s|m|h)", text)
    if parts is None or int(parts[1]) == 0:
        raise argparse.ArgumentTypeError(f"expected a duration such as 30s or 5m, got {text}")
    return int(parts[1]) * _UNITS[parts[2]]


def address(text: str) -> str:
    """An http or https address."""
    if not re.fullmatch(r"https?://[^/\s]+(/\S*)?", text):
        raise argparse.ArgumentTypeError(f"expected an address such as http://127.0.0.1:9090, got {text}")
    return text


def parse(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prometheus", type=address, required=True, metavar="URL", help="whose data is shown")
    parser.add_argument("--alertmanager", type=address, metavar="URL", help="tells which alerts are silenced")
    parser.add_argument("--output", type=Path, default=OUTPUT, metavar="FILE", help="default: %(default)s")
    parser.add_argument("--watch", type=duration, metavar="DURATION", help="update again and again, e.g. every 30s")
    return parser.parse_args(arguments)


def main() -> int:
    """See the text on top for the exit codes."""
    options = parse()
    mirror = Mirror(options.prometheus, options.alertmanager, options.output)
    if options.watch is None:
        try:
            changed = mirror.update()
        except StarlightError as error:
            print(f"mirror_dashboard: {error}", file=sys.stderr)
            return 1
        print(f"{options.output}: {'written' if changed else 'nothing new'}")
        return 0
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    watch(mirror, every=options.watch, stop=stop, tell=lambda line: print(f"mirror_dashboard: {line}", flush=True))
    return 0


if __name__ == "__main__":
    sys.exit(main())
