"""Exit codes: one handler maps every outcome of a command."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from starlight_exporter.cli.command import exit_code
from starlight_exporter.errors import ConfigError, StarlightError


def fail(error: BaseException) -> int:
    raise error


@pytest.mark.parametrize("code", [0, 1, 2])
def test_returns_the_code_of_the_command(code: int) -> None:
    assert exit_code("x", lambda: code) == code


@pytest.mark.parametrize("error", [StarlightError("a.yml: wrong"), ConfigError("a.yml: wrong")])
def test_reports_an_expected_error_in_one_line(error: StarlightError, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code("starlight gate", lambda: fail(error)) == 2
    assert capsys.readouterr() == ("", "starlight gate: a.yml: wrong\n")


def test_unexpected_error_exits_with_70_and_a_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code("x", lambda: fail(ZeroDivisionError("division"))) == 70
    error = capsys.readouterr().err
    assert "ZeroDivisionError: division" in error
    assert error.endswith("x: internal error\n")


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (KeyboardInterrupt(), "x: interrupted\n"),
        (KeyboardInterrupt("nothing was left behind"), "x: interrupted; nothing was left behind\n"),
    ],
)
def test_interrupt_exits_with_130(error: KeyboardInterrupt, line: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code("x", lambda: fail(error)) == 130
    assert capsys.readouterr().err == line


@pytest.mark.parametrize(("raised", "code"), [(0, 0), (None, 0), (2, 2), ("text", 2)])
def test_keeps_the_exit_code_of_argparse(raised: object, code: int) -> None:
    assert exit_code("x", lambda: fail(SystemExit(raised))) == code


@pytest.mark.parametrize("statement", ["print('x')", "print('x' * 100_000)", "Console().print('x')"])
def test_closed_output_pipe_exits_with_141(statement: str) -> None:
    code = (
        "from starlight_exporter.cli.command import exit_code\n"
        "from starlight_exporter.cli.console import Console\n"
        f"raise SystemExit(exit_code('x', lambda: {statement} or 0))"
    )
    assert into_closed_pipe("-c", code) == (141, "")


def test_help_into_a_closed_pipe_exits_with_141() -> None:
    assert into_closed_pipe("-m", "starlight_exporter.cli.main", "--help") == (141, "")


def into_closed_pipe(*arguments: str) -> tuple[int, str]:
    """Exit code and standard error of Python with a standard output that has no reader."""
    # argparse ignores write errors, which only unbuffered output raises while it writes.
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    reader, writer = os.pipe()
    os.close(reader)
    try:
        done = subprocess.run(
            [sys.executable, *arguments],
            stdout=writer,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
            env=environment,
            timeout=60,
        )
    finally:
        os.close(writer)
    return done.returncode, done.stderr


@pytest.mark.parametrize(
    ("command", "code"),
    [
        ("print('x')", 0),
        ("open('/dev/null').fileno() > 2 or 1 / 0", 0),
        ("(_ for _ in ()).throw(StarlightError('x'))", 2),
        ("1 / 0", 70),
    ],
)
@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_standard_streams_do_not_change_the_exit_code(command: str, code: int, closed: str) -> None:
    assert exit_code_in_shell(command, closed) == code


@pytest.mark.parametrize("command", ["print('x')", "print('x', file=sys.stderr)", "1 / 0"])
def test_output_on_a_full_disk_exits_with_70(command: str) -> None:
    assert exit_code_in_shell(command, ">/dev/full 2>/dev/full") == 70


def exit_code_in_shell(command: str, redirection: str) -> int:
    """Exit code of a command whose standard streams are redirected or closed by a shell."""
    code = (
        "import sys\n"
        "from starlight_exporter.cli.command import exit_code\n"
        "from starlight_exporter.errors import StarlightError\n"
        f"raise SystemExit(exit_code('x', lambda: ({command}, 0)[1]))"
    )
    # Arguments of the shell, which need no quotes.
    shell = ["sh", "-c", f'"$0" -c "$1" {redirection}', sys.executable, code]
    return subprocess.run(shell, check=False).returncode
