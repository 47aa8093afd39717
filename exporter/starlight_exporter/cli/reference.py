"""Generate `docs/cli.md` from the parsers."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from starlight_exporter.cli import main, service

_INTRO: Final = """# Command line

Generated from the parsers; a test fails when the two differ. An installed package has the commands `starlight` and
`starlight-exporter`. In a checkout, the scripts in `scripts/` run the same commands under the names in parentheses;
they continue in `.venv`, and their default paths are in the repository instead of the current directory.

All commands have the same exit codes:

| code | meaning |
|---|---|
| 0 | success |
| 1 | a check failed: a regression, or a service of the stack has exited |
| 2 | usage or configuration error, or not measured or not comparable |
| 3 | a required check passes inconclusively (`starlight gate --require-conclusive`) |
| 70 | internal error |
| 130 | interrupted |
| 141 | the output pipe was closed |
"""

_HEADER: Final = "| argument | value | meaning |\n|---|---|---|\n"


def command_line_reference(scripts: Mapping[str, str], other: Iterable[argparse.ArgumentParser]) -> str:
    """Return the text of `docs/cli.md`.

    `scripts` maps a command such as `starlight gate` to its script; `other` are the parsers of commands that exist only
    in a checkout.
    """
    parsers = [*leaves(main.build_parser()), *leaves(service.build_parser()), *other]
    return "\n".join([_INTRO, *(_section(parser, scripts.get(parser.prog)) for parser in parsers)])


def leaves(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """Yield the parsers of all subcommands; the parser itself if it has flags other than --help and --version."""
    subparsers = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
    if not subparsers or len(list(_rows(parser))) > 1:
        yield parser
    for action in subparsers:
        for subparser in action.choices.values():
            yield from leaves(subparser)


def _section(parser: argparse.ArgumentParser, script: str | None) -> str:
    title = f"## {parser.prog}{f' (`{script}`)' if script else ''}\n"
    rows = list(_rows(parser))
    table = _HEADER + "".join(rows) if rows else ""
    return "\n".join(part for part in (title, f"{(parser.description or '').strip()}\n", table) if part)


def _rows(parser: argparse.ArgumentParser) -> Iterator[str]:
    for action in parser._actions:
        if isinstance(action, argparse._HelpAction | argparse._SubParsersAction):
            continue
        name = ", ".join(f"`{flag}`" for flag in action.option_strings) or f"`{action.metavar or action.dest}`"
        text = (action.help or "") % {"default": action.default}
        yield f"| {name}{' (required)' if action.required else ''} | {_value(action)} | {text} |\n"


def _value(action: argparse.Action) -> str:
    if action.choices is not None:
        return ", ".join(f"`{choice}`" for choice in action.choices)
    if action.nargs == 0:
        return ""
    return f"`{action.metavar or action.dest.upper()}`"
