"""Evaluate the configured models on their datasets, by schedule and after changes, and serve metrics and pages."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import starlight_exporter
from starlight_exporter.cli import history_export
from starlight_exporter.cli.command import EPILOG, exit_code
from starlight_exporter.config_location import locate_config
from starlight_exporter.exit_codes import OK
from starlight_exporter.listen_address import DEFAULT_LISTEN_ADDRESS, listen, parse_listen_address
from starlight_exporter.logs import LOG_FORMATS, LOG_LEVELS, configure_logging

NAME: Final = "starlight-exporter"


def main(words: Sequence[str] | None = None) -> int:
    """Run the service or the selected command; return the exit code, 0 after SIGTERM."""
    return exit_code(NAME, lambda: _run(build_parser().parse_args(words)))


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of `starlight-exporter`."""
    parser = argparse.ArgumentParser(
        prog=NAME,
        description=__doc__,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"{NAME} {starlight_exporter.__version__}")
    parser.add_argument("--config.check", dest="config_check", action="store_true", help="check the file and exit")
    parser.add_argument(
        "--web.listen-address",
        dest="listen_address",
        default=DEFAULT_LISTEN_ADDRESS,
        help=f"default {DEFAULT_LISTEN_ADDRESS}",
    )
    parser.add_argument("--web.enable-lifecycle", dest="lifecycle", action="store_true", help="allow POST requests")
    parser.add_argument("--web.config.file", dest="web_config", type=Path, help="TLS and basic authentication")
    parser.add_argument("--log.format", dest="log_format", choices=LOG_FORMATS, default="logfmt", help="default logfmt")
    parser.add_argument("--log.level", dest="log_level", choices=LOG_LEVELS, default="info", help="default info")
    history_export.add_config(parser)
    commands = parser.add_subparsers(dest="command")
    history = commands.add_parser("history", help="stored results").add_subparsers(required=True)
    export = history.add_parser("export", help="for backfilling Prometheus", description=history_export.__doc__)
    history_export.add_arguments(export, Path())
    # Without a default of its own, the flag is accepted before the command as well as after it.
    export.set_defaults(config_file=argparse.SUPPRESS)
    return parser


def _run(options: argparse.Namespace) -> int:
    configure_logging(options.log_format, options.log_level)
    if options.command == "history":
        return history_export.run(options)
    options.config_file = locate_config(options.config_file, Path())
    return _check(options) if options.config_check else _serve(options)


def _check(options: argparse.Namespace) -> int:
    from starlight_exporter.config import load_config
    from starlight_exporter.runs.discovery import discover
    from starlight_exporter.web.web_config import load_web_config, tls_context

    config = load_config(options.config_file)
    if options.web_config is not None:
        web = load_web_config(options.web_config)
        if web.tls_server_config is not None:
            tls_context(web.tls_server_config, options.web_config)
    found = discover(config)
    for warning in found.warnings:
        print(f"{options.config_file}: research: {warning}", file=sys.stderr)
    more = f" and {len(found.models)} found in {config.research.models_dir}" if config.research is not None else ""
    print(f"{options.config_file}: ok, {len(config.models)} models{more} on {len(config.datasets)} datasets")
    return OK


def _serve(options: argparse.Namespace) -> int:
    from starlight_exporter.runs.application import Application
    from starlight_exporter.web.app import create_app
    from starlight_exporter.web.authentication import Users
    from starlight_exporter.web.server import serve
    from starlight_exporter.web.web_config import WebConfig, load_web_config, tls_context

    application = Application(options.config_file)
    web = WebConfig() if options.web_config is None else load_web_config(options.web_config)
    tls = None if web.tls_server_config is None else tls_context(web.tls_server_config, options.web_config)
    users = Users(web.basic_auth_users) if web.basic_auth_users else None
    listener = listen(*parse_listen_address(options.listen_address))
    return serve(application, create_app(application, lifecycle=options.lifecycle, users=users), listener, tls)


if __name__ == "__main__":
    raise SystemExit(main())
