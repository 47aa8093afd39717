"""Evaluate the configured models on their datasets, by schedule and after changes, and serve metrics and pages."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import starlight_exporter
from starlight_exporter.cli import history_export
from starlight_exporter.cli.command import EPILOG, exit_code
from starlight_exporter.config_location import locate_config
from starlight_exporter.exit_codes import OK
from starlight_exporter.listen_address import DEFAULT_LISTEN_ADDRESS, listen, parse_listen_address
from starlight_exporter.logs import LOG_FORMATS, LOG_LEVELS, configure_logging

if TYPE_CHECKING:
    from starlight_exporter.web.service_addresses import ServiceAddresses
    from starlight_exporter.web.site import Site

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
        "--config.watch",
        dest="config_watch",
        action="store_true",
        help="load the configuration file again when it changes; an invalid file leaves the active one unchanged",
    )
    parser.add_argument(
        "--web.listen-address",
        dest="listen_address",
        default=DEFAULT_LISTEN_ADDRESS,
        help=f"default {DEFAULT_LISTEN_ADDRESS}",
    )
    parser.add_argument("--web.enable-lifecycle", dest="lifecycle", action="store_true", help="allow POST requests")
    parser.add_argument("--web.config.file", dest="web_config", type=Path, help="TLS and basic authentication")
    parser.add_argument(
        "--web.external-url",
        dest="external_url",
        metavar="URL",
        help="URL under which users reach the exporter, such as https://example.org/starlight/ behind a proxy; its path"
        " is the prefix of all endpoints and links; links in alerts and dashboards begin with it",
    )
    parser.add_argument(
        "--web.grafana-url",
        dest="grafana_url",
        metavar="URL",
        help="URL of the Grafana that has the dashboards; links to them in alerts begin with it",
    )
    for service in ("Prometheus", "Alertmanager"):
        parser.add_argument(
            f"--web.{service.lower()}-url",
            dest=f"{service.lower()}_url",
            metavar="URL",
            help=f"URL of {service} in the commands of runbooks; it is never requested",
        )
    parser.add_argument(
        "--web.route-prefix",
        dest="route_prefix",
        metavar="PATH",
        help="prefix of all endpoints (default: path of --web.external-url); / behind a proxy that removes the prefix",
    )
    parser.add_argument(
        "--web.allowed-hosts",
        dest="allowed_hosts",
        action="append",
        default=[],
        metavar="HOST,...",
        help="host names of requests in addition to IP addresses, localhost, the name of this machine and the host of"
        " --web.external-url; .example.org allows all names below it, * any (repeatable)",
    )
    parser.add_argument("--log.format", dest="log_format", choices=LOG_FORMATS, default="logfmt", help="default logfmt")
    parser.add_argument("--log.level", dest="log_level", choices=LOG_LEVELS, default="info", help="default info")
    history_export.add_config(parser)
    commands = parser.add_subparsers(dest="command")
    history = commands.add_parser("history", help="stored results").add_subparsers(required=True)
    export = history.add_parser("export", help="for backfilling Prometheus", description=history_export.__doc__)
    # Without a default of its own, the flag is accepted before the command as well as after it.
    history_export.add_config(export, argparse.SUPPRESS)
    history_export.add_output(export, Path())
    history_export.add_labels(export)
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
    from starlight_exporter.web.active_web_config import ActiveWebConfig
    from starlight_exporter.web.site import make_service_url

    config = load_config(options.config_file)
    _site(options)
    make_service_url("--web.grafana-url", options.grafana_url)
    _addresses(options)
    ActiveWebConfig(options.web_config, report=lambda _successful: None)
    found = discover(config)
    for warning in found.warnings:
        print(f"{options.config_file}: research: {warning}", file=sys.stderr)
    more = f" and {len(found.models)} found in {config.research.models_dir}" if config.research is not None else ""
    print(f"{options.config_file}: ok, {len(config.models)} models{more} on {len(config.datasets)} datasets")
    return OK


def _serve(options: argparse.Namespace) -> int:
    from starlight_exporter.runs.application import Application
    from starlight_exporter.web.active_web_config import ActiveWebConfig
    from starlight_exporter.web.app import create_app
    from starlight_exporter.web.server import serve
    from starlight_exporter.web.site import make_service_url

    site = _site(options)
    addresses = _addresses(options)
    grafana_url = make_service_url("--web.grafana-url", options.grafana_url)
    application = Application(
        options.config_file,
        watch_config=options.config_watch,
        external_url=site.external_url,
        grafana_url=grafana_url,
    )
    web_config = ActiveWebConfig(options.web_config, report=application.report_web_config)
    web = create_app(application, lifecycle=options.lifecycle, site=site, web_config=web_config, addresses=addresses)
    return serve(application, web, listen(*parse_listen_address(options.listen_address)), web_config)


def _site(options: argparse.Namespace) -> Site:
    from starlight_exporter.web.allowed_hosts import parse_allowed_hosts
    from starlight_exporter.web.site import make_site

    allowed = parse_allowed_hosts(options.allowed_hosts)
    host, _ = parse_listen_address(options.listen_address)
    return make_site(options.external_url, options.route_prefix, allowed | {host.lower()})


def _addresses(options: argparse.Namespace) -> ServiceAddresses:
    from starlight_exporter.web.service_addresses import ServiceAddresses
    from starlight_exporter.web.site import make_service_url

    return ServiceAddresses(
        prometheus=make_service_url("--web.prometheus-url", options.prometheus_url),
        alertmanager=make_service_url("--web.alertmanager-url", options.alertmanager_url),
    )


if __name__ == "__main__":
    raise SystemExit(main())
