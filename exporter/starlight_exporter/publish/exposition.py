"""Render a registry in the Prometheus text format or in OpenMetrics 1.0, as the Accept header requests.

Prometheus requests OpenMetrics; this module renders it because prometheus_client takes more than three times as long
(docs/decisions/0015). A test compares the bytes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Final, Literal

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from prometheus_client.samples import Sample
from prometheus_client.utils import floatToGoString

Format = Literal["text", "openmetrics"]

CONTENT_TYPES: Final[Mapping[Format, str]] = {
    "text": "text/plain; version=0.0.4; charset=utf-8",
    "openmetrics": "application/openmetrics-text; version=1.0.0; charset=utf-8",
}

_OPENMETRICS_VERSIONS: Final = ("", "1.0.0")
"""Accepted versions; an entry without a version accepts any. 0.0.1 was a draft."""


def render(registry: CollectorRegistry, accept: str | None, names: Sequence[str]) -> tuple[bytes, str]:
    """Return body and content type. `names` (of families or samples) restricts the body; empty selects everything.

    An Accept header that is invalid or requests no supported format selects the text format.
    """
    collector: Collector = RestrictedCollector(registry, frozenset(names)) if names else registry
    requested = negotiate(accept)
    body = openmetrics_text(collector.collect()) if requested == "openmetrics" else generate_latest(collector)
    return body, CONTENT_TYPES[requested]


def negotiate(accept: str | None) -> Format:
    """Return the format with the highest weight in an Accept header; the first of equal ones."""
    best: Format = "text"
    best_weight = 0.0
    for entry in (accept or "").split(","):
        media_type, *raw = (part.strip().lower() for part in entry.split(";"))
        parameters = dict(part.split("=", 1) for part in raw if "=" in part)
        version = parameters.get("version", "").strip().strip('"')
        weight = _weight(parameters.get("q", "1"))
        offered: Format
        if media_type == "application/openmetrics-text" and version in _OPENMETRICS_VERSIONS:
            offered = "openmetrics"
        elif media_type in ("text/plain", "text/*", "*/*"):
            offered = "text"
        else:
            continue
        if weight > best_weight:
            best, best_weight = offered, weight
    return best


def _weight(text: str) -> float:
    try:
        weight = float(text)
    except ValueError:
        return 0.0
    return weight if 0.0 <= weight <= 1.0 else 0.0


class RestrictedCollector(Collector):
    """All samples of families with a requested name, and samples of other families with a requested name.

    `CollectorRegistry.restricted_registry` returns no sample for the family name of a histogram.
    """

    def __init__(self, collector: Collector, names: frozenset[str]) -> None:
        self._collector = collector
        self._names = names

    def collect(self) -> Iterator[Metric]:
        """Yield the selected families and samples."""
        for family in self._collector.collect():
            if family.name in self._names:
                yield family
                continue
            samples = [sample for sample in family.samples if sample.name in self._names]
            if samples:
                selected = Metric(family.name, family.documentation, family.type, family.unit)
                selected.samples = samples
                yield selected


def openmetrics_text(families: Iterable[Metric]) -> bytes:
    """Render OpenMetrics 1.0 with its closing `# EOF`."""
    lines: list[str] = []
    for family in families:
        lines.append(openmetrics_header(family.name, family.type, family.documentation))
        lines.extend([_sample_line(sample) for sample in family.samples])
    lines.append("# EOF\n")
    return "".join(lines).encode()


def openmetrics_header(base_name: str, kind: str, help_text: str) -> str:
    """Return HELP and TYPE of a family; `base_name` is without the suffix that the type adds."""
    return f"# HELP {base_name} {_escaped(help_text)}\n# TYPE {base_name} {kind}\n"


def number_text(value: float) -> str:
    """Return a number in Prometheus notation: `+Inf`, `1e+06`."""
    return str(floatToGoString(value))  # type: ignore[no-untyped-call]


def label_text(labels: dict[str, str]) -> str:
    """Return `{a="1",b="2"}`, sorted and escaped; empty without labels."""
    return _label_text(tuple(labels.items())) if labels else ""


def _sample_line(sample: Sample) -> str:
    line = f"{sample.name}{label_text(sample.labels)} {number_text(sample.value)}"
    if sample.exemplar is None:
        return line + "\n"
    labels, value, timestamp = sample.exemplar
    return f"{line} # {label_text(dict(labels))} {number_text(value)} {timestamp}\n"


@lru_cache(maxsize=16_384)
def _label_text(labels: tuple[tuple[str, str], ...]) -> str:
    # Cached: label sets recur between scrapes and between families, which halves the time of a scrape.
    return "{" + ",".join([f'{name}="{_escaped(value)}"' for name, value in sorted(labels)]) + "}"


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
