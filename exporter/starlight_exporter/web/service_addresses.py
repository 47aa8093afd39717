"""Addresses of this deployment's services, and the texts in which they take the place of the shipped addresses."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

EXPORTER: Final = "http://127.0.0.1:9877"
PROMETHEUS: Final = "http://127.0.0.1:9090"
ALERTMANAGER: Final = "http://127.0.0.1:9093"


@dataclass(frozen=True, slots=True)
class ServiceAddresses:
    """URLs with a trailing slash of the flags `--web.prometheus-url` and `--web.alertmanager-url`; empty if unknown."""

    prometheus: str = ""
    alertmanager: str = ""

    def replacements(self, exporter: str) -> Mapping[str, str]:
        """Return the URL without a trailing slash by shipped address, of the services whose URL is known."""
        known = {EXPORTER: exporter, PROMETHEUS: self.prometheus, ALERTMANAGER: self.alertmanager}
        return {shipped: url.rstrip("/") for shipped, url in known.items() if url}


def replace_addresses(text: str, replacements: Mapping[str, str]) -> str:
    """Return a text in which every shipped address is replaced, in one pass: a new address may be another's old one."""
    if not replacements:
        return text
    shipped = "|".join(re.escape(address) for address in replacements)
    return re.sub(rf"(?:{shipped})(?!\d)", lambda match: replacements[match[0]], text)
