"""The command line: run the exporter, check its configuration, export its history."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import starlight_exporter
from starlight_exporter.config import Config, load_config
from starlight_exporter.errors import ConfigError, StarlightError
from starlight_exporter.files import replacing
from starlight_exporter.listen_address import listen, parse_listen_address
from starlight_exporter.logs import LOG_FORMATS, LOG_LEVELS, configure_logging

DEFAULT_CONFIG = Path("starlight.yml")
DEFAULT_ADDRESS = "127.0.0.1:9877"


def main(arguments: list[str] | None = None) -> int:
    """Exit code 0: done or stopped on request; 1: it failed; 2: the command line or the configuration is wrong."""
    options = _parser().parse_args(arguments)
    configure_logging(options.log_format, options.log_level)
    try:
        if options.command == "history":
            return _export_history(load_config(options.config_file), options.output)
        if options.config_check:
            return _check(options)
        return _run(options)
    except ConfigError as error:
        print(f"starlight-exporter: {error}", file=sys.stderr)
        return 2
    except StarlightError as error:
        print(f"starlight-exporter: {error}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="starlight-exporter", description=starlight_exporter.__doc__)
    parser.add_argument("--version", action="version", version=f"starlight-exporter {starlight_exporter.__version__}")
    parser.add_argument("--config.check", dest="config_check", action="store_true", help="check the file and exit")
    parser.add_argument(
        "--web.listen-address", dest="listen_address", default=DEFAULT_ADDRESS, help=f"default {DEFAULT_ADDRESS}"
    )
    parser.add_argument("--web.enable-lifecycle", dest="lifecycle", action="store_true", help="allow POST requests")
    parser.add_argument("--web.config.file", dest="web_config", type=Path, help="TLS and basic authentication")
    parser.add_argument("--log.format", dest="log_format", choices=LOG_FORMATS, default="logfmt")
    parser.add_argument("--log.level", dest="log_level", choices=LOG_LEVELS, default="info")
    _add_config(parser, DEFAULT_CONFIG)
    commands = parser.add_subparsers(dest="command")
    history = commands.add_parser("history", help="what was measured so far").add_subparsers(required=True)
    export = history.add_parser("export", help="OpenMetrics with timestamps, for promtool's backfill")
    # Not set again here unless given, so that the flag counts before the command as well as after it.
    _add_config(export, argparse.SUPPRESS)
    export.add_argument("--output", type=Path, help="file to write (default: standard output)")
    return parser


def _add_config(parser: argparse.ArgumentParser, default: object) -> None:
    parser.add_argument(
        "--config.file", dest="config_file", type=Path, default=default, help=f"default {DEFAULT_CONFIG}"
    )


def _check(options: argparse.Namespace) -> int:
    from starlight_exporter.runs.discovery import discover
    from starlight_exporter.web.web_config import load_web_config, tls_context

    config = load_config(options.config_file)
    if options.web_config is not None:
        web = load_web_config(options.web_config)
        if web.tls_server_config is not None:
            tls_context(web.tls_server_config, options.web_config)
    found = discover(config)
    for remark in found.remarks:
        print(f"{options.config_file}: research: {remark}", file=sys.stderr)
    more = f" and {len(found.models)} found in {config.research.models_dir}" if config.research is not None else ""
    print(f"{options.config_file}: ok, {len(config.models)} models{more} on {len(config.datasets)} datasets")
    return 0


def _run(options: argparse.Namespace) -> int:
    # Late: neither a check nor an export needs a server.
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


def _export_history(config: Config, output: Path | None) -> int:
    from starlight_exporter.publish.backfill import export_openmetrics
    from starlight_exporter.publish.history import History

    evaluations = History(config.paths.data / "history.jsonl").evaluations()
    if output is None:
        export_openmetrics(evaluations, sys.stdout)
        return 0
    try:
        # Half a file would be backfilled as if it were complete.
        with replacing(output) as temporary, temporary.open("w", encoding="utf-8") as file:
            samples = export_openmetrics(evaluations, file)
    except OSError as error:
        raise ConfigError(f"--output: cannot write {output}: {error.strerror}") from error
    print(f"{output}: {samples} samples", file=sys.stderr)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
