"""Reload on request: the configuration and the web configuration."""

from __future__ import annotations

from starlight_exporter.errors import ConfigError
from starlight_exporter.runs.application import Application
from starlight_exporter.web.active_web_config import ActiveWebConfig


def reload_all(application: Application, web_config: ActiveWebConfig) -> None:
    """Reload both files. Raises ConfigError with the reason of each that is invalid and therefore not active."""
    errors = []
    for reload in (application.reload, web_config.refresh):
        try:
            reload()
        except ConfigError as error:
            errors.append(str(error))
    if errors:
        raise ConfigError("; ".join(errors))
