"""`python -m stack`, started by `scripts/up`."""

from __future__ import annotations

import argparse
import signal
import sys
from types import FrameType

from stack.arguments import parse_arguments, process_only_flags
from stack.errors import StackError
from starlight_exporter.cli.command import exit_code
from starlight_exporter.exit_codes import CHECK_FAILED, OK

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def main() -> int:
    """Run the stack; return the exit code."""
    return exit_code("up", lambda: run(parse_arguments()))


def run(arguments: argparse.Namespace) -> int:
    """Run the stack until it is stopped, or with `--check` until the first result is in Prometheus."""
    # Imported after parsing, so that --help works before anything is installed.
    from rich.console import Console

    from stack import compose, native
    from stack.preflight import check_inputs

    console = Console(stderr=True)
    for number in STOP_SIGNALS:
        # A signal that is ignored by the parent process (nohup) stays ignored.
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _interrupt)
    try:
        check_inputs(model=arguments.model, dataset=arguments.dataset, config=arguments.config, console=console)
        command = None if arguments.native else compose.command()
        flags = process_only_flags(arguments)
        if command is not None and flags:
            console.print(f"starting processes instead of containers because of {', '.join(flags)}", highlight=False)
            command = None
        if command is not None:
            compose.run(command, arguments.ports, console, check=arguments.check)
        else:
            native.run(arguments, console, before_stop=_ignore_stop_signals)
    except StackError as error:
        print(f"up: {error}", file=sys.stderr)
        return CHECK_FAILED
    except KeyboardInterrupt:
        print("\nstopped", file=sys.stderr)
    return OK


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    # Only once: a closing terminal sends more than one signal.
    _ignore_stop_signals()
    raise KeyboardInterrupt


def _ignore_stop_signals() -> None:
    for number in STOP_SIGNALS:
        signal.signal(number, signal.SIG_IGN)


if __name__ == "__main__":
    raise SystemExit(main())
