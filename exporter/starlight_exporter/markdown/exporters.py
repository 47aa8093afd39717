"""The scraped exporters: their names in a document about several, and the URLs of their pages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from starlight_exporter.markdown.escaping import cell, code
from starlight_exporter.markdown.samples import Samples
from starlight_exporter.publish.families import exporter, models

Target = tuple[str, str]
"""The labels job and instance."""


def target(labels: Mapping[str, str]) -> Target:
    """Return the target of a series; empty labels without Prometheus."""
    return labels.get("job", ""), labels.get("instance", "")


@dataclass(frozen=True, slots=True)
class Exporters:
    """URL for users of each exporter (`--web.external-url`, with a trailing slash); empty without the flag."""

    urls: Mapping[Target, str] = field(default_factory=dict)

    def url(self, labels: Mapping[str, str]) -> str | None:
        """Return the URL of the exporter of a series; None if it is unknown."""
        return self.urls.get(target(labels)) or None

    def runbook(self, alert: str, labels: Mapping[str, str]) -> str | None:
        """Return the URL of a runbook: of the exporter of the alert, else of the first one. None without any URL."""
        url = self.url(labels) or next((url for _, url in sorted(self.urls.items()) if url), None)
        return None if url is None else f"{url}runbooks/{alert}.md"

    def name(self, labels: Mapping[str, str], *names: str) -> str:
        """Return these labels as code, joined by `on`, with job and instance if there are several exporters."""
        text = " on ".join(code(labels[name]) for name in names)
        job, instance = target(labels)
        return f"{text} ({cell(f'{job} {instance}'.strip())})" if len(self.urls) > 1 else text

    def concerns(self, alert: Mapping[str, str], labels: Mapping[str, str]) -> bool:
        """Return whether an alert is about the exporter of a series, or about none, such as those of Prometheus."""
        of_alert = target(alert)
        return of_alert == target(labels) or of_alert not in self.urls


def exporters_of(samples: Samples) -> Exporters:
    """Return all exporters with current samples."""
    urls = {target(sample.labels): "" for sample in samples.of(models.MODEL_INFO)}
    for sample in samples.of(exporter.BUILD_INFO):
        urls[target(sample.labels)] = sample.label("external_url")
    return Exporters(urls)
