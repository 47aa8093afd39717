"""Run a command and map its outcome to an exit code. Imports only the standard library, `errors` and `exit_codes`.

Parsers are built without third-party packages, so that `--help` works before anything is installed.
"""

from __future__ import annotations

import argparse
import os
import shlex
import signal
import sys
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, Protocol

from starlight_exporter.errors import StarlightError
from starlight_exporter.exit_codes import CLOSED_PIPE, INTERNAL_ERROR, INTERRUPTED, NOT_MEASURED, OK

EPILOG: Final = """exit codes:
  0 success, 1 a check failed, 2 usage error, not measured or not comparable,
  3 inconclusive (gate), 70 internal error, 130 interrupted, 141 output pipe closed"""


class Command(Protocol):
    """A module that implements one command; its docstring is the description."""

    __doc__: str | None

    def add_arguments(self, parser: argparse.ArgumentParser, root: Path) -> None:
        """Add the flags. Default paths are relative to `root`."""

    def run(self, options: argparse.Namespace) -> int:
        """Run the command and return the exit code. Errors are mapped by `exit_code`."""


def configure(parser: argparse.ArgumentParser, command: Command, root: Path) -> None:
    """Add a command's flags, description and implementation to a parser."""
    parser.description = command.__doc__
    parser.epilog = EPILOG
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    command.add_arguments(parser, root)
    parser.set_defaults(run=command.run, name=parser.prog.removesuffix(".py"))


def script_parser(command: Command, prog: str, root: Path) -> argparse.ArgumentParser:
    """Return the parser of one command, for the script named `prog`."""
    parser = argparse.ArgumentParser(prog=prog)
    configure(parser, command, root)
    return parser


def run_script(command: Command, *, prog: str, root: Path) -> int:
    """Run one command as `scripts/PROG` with default paths in the repository `root`."""

    def action() -> int:
        options = script_parser(command, prog, root).parse_args()
        options.command_line = shlex.join((f"scripts/{prog}", *sys.argv[1:]))
        return run(options)

    return exit_code(prog.removesuffix(".py"), action)


def run(options: argparse.Namespace) -> int:
    """Run the command that the parser selected."""
    # Import structlog, which a parser must not need.
    from starlight_exporter.logs import warnings_on_standard_error
    from starlight_exporter.runs.scratch import own_temporary_files

    command: Callable[[argparse.Namespace], int] = options.run
    with warnings_on_standard_error(), own_temporary_files():
        return exit_code(options.name, lambda: command(options))


def clean_up_when_terminated() -> None:
    """Let SIGTERM interrupt the command as Ctrl-C does, so that it deletes its temporary files."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)


def exit_code(name: str, action: Callable[[], int]) -> int:
    """Call `action` and return the process exit code; report errors on standard error, prefixed with `name`."""
    _open_closed_streams()
    try:
        return _reported(name, action)
    except BrokenPipeError:
        _discard_output()
        return CLOSED_PIPE
    except OSError as error:
        # Not even the error could be written, as on a full disk.
        with suppress(OSError):
            print(f"{name}: output cannot be written: {error.strerror or error}", file=sys.stderr, flush=True)
        _discard_output()
        return INTERNAL_ERROR


def _reported(name: str, action: Callable[[], int]) -> int:
    """Return the exit code. Raises OSError if output cannot be written."""
    try:
        return action()
    except SystemExit as error:
        # argparse has printed the help text or the usage error.
        return error.code if isinstance(error.code, int) else OK if error.code is None else NOT_MEASURED
    except StarlightError as error:
        print(f"{name}: {error}", file=sys.stderr)
        return NOT_MEASURED
    except KeyboardInterrupt as error:
        print(f"{name}: {'; '.join(filter(None, ('interrupted', str(error))))}", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        raise
    except Exception:  # noqa: BLE001  # the process boundary: Python's own exit code 1 would mean a failed check
        traceback.print_exc()
        print(f"{name}: internal error", file=sys.stderr)
        return INTERNAL_ERROR
    finally:
        sys.stdout.flush()


def _open_closed_streams() -> None:
    """Replace standard streams that the caller has closed, so that no other file gets their descriptors."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            mode = "w" if number else "r"
            descriptor = os.open(os.devnull, os.O_RDWR)
            if descriptor != number and not _is_open(number):
                os.dup2(descriptor, number)
                os.close(descriptor)
                descriptor = number
            setattr(sys, name, os.fdopen(descriptor, mode, encoding="utf-8"))


def _is_open(descriptor: int) -> bool:
    try:
        os.fstat(descriptor)
    except OSError:
        return False
    return True


def _discard_output() -> None:
    # The interpreter flushes both streams once more at exit, which would fail again.
    descriptor = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            os.dup2(descriptor, stream.fileno())
    os.close(descriptor)


def command_line(words: Sequence[str]) -> str:
    """Return the command line of `starlight`, as a shell would take it."""
    return shlex.join(("starlight", *words))
