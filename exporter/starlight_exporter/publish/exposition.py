"""A registry as text, in the classic Prometheus format or in OpenMetrics 1.0, as the scraper asks.

prometheus_client renders the same bytes three to five times slower (it inspects every character of every name), and
raises on some Accept headers. A test holds both renderings against each other.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Final, Literal

from prometheus_client import CollectorRegistry
from prometheus_client.metrics_core import Metric
from prometheus_client.samples import Sample
from prometheus_client.utils import floatToGoString

Format = Literal["text", "openmetrics"]

CONTENT_TYPES: Final[dict[Format, str]] = {
    "text": "text/plain; version=0.0.4; charset=utf-8",
    "openmetrics": "application/openmetrics-text; version=1.0.0; charset=utf-8",
}

_OPENMETRICS_VERSIONS = ("", "1.0.0")
"""An Accept entry without a version takes any; 0.0.1 was a draft."""


def render(registry: CollectorRegistry, accept: str | None, names: Sequence[str]) -> tuple[bytes, str]:
    """The body and its content type. `names` (family or sample names) restricts it; empty means everything.

    An Accept header that cannot be understood, or asks for nothing we have, gives the classic text format.
    """
    wanted: Format = negotiate(accept)
    families: Iterable[Metric] = registry.collect()
    if names:
        families = restricted(families, frozenset(names))
    text = openmetrics_text(families) if wanted == "openmetrics" else classic_text(families)
    # A folder name that is not UTF-8 can become a label value; it must not cost the scrape.
    return text.encode(errors="replace"), CONTENT_TYPES[wanted]


def negotiate(accept: str | None) -> Format:
    """The format that the Accept header likes best; the first one where it likes several alike."""
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


def restricted(families: Iterable[Metric], names: frozenset[str]) -> Iterable[Metric]:
    """Families of these names whole, of other families the samples of these names."""
    for family in families:
        if family.name in names:
            yield family
            continue
        samples = [sample for sample in family.samples if sample.name in names]
        if samples:
            part = Metric(family.name, family.documentation, family.type, family.unit)
            part.samples = samples
            yield part


def classic_text(families: Iterable[Metric]) -> str:
    """The text format 0.0.4; `_created` samples have no place in it and none are made."""
    lines: list[str] = []
    for family in families:
        name, kind = family.name, family.type
        if kind == "counter":
            name += "_total"
        elif kind == "info":
            name, kind = f"{name}_info", "gauge"
        elif kind == "unknown":
            kind = "untyped"
        help_text = family.documentation.replace("\\", r"\\").replace("\n", r"\n")
        lines.append(f"# HELP {name} {help_text}\n# TYPE {name} {kind}\n")
        lines.extend([sample_line(sample) for sample in family.samples])
    return "".join(lines)


def openmetrics_text(families: Iterable[Metric]) -> str:
    """OpenMetrics 1.0 with its closing `# EOF`."""
    lines: list[str] = []
    for family in families:
        lines.append(openmetrics_header(family.name, family.type, family.documentation))
        lines.extend([sample_line(sample) for sample in family.samples])
    lines.append("# EOF\n")
    return "".join(lines)


def openmetrics_header(base_name: str, kind: str, help_text: str) -> str:
    """HELP and TYPE of one family; `base_name` is without the suffix that the type adds."""
    return f"# HELP {base_name} {_escaped(help_text)}\n# TYPE {base_name} {kind}\n"


def sample_line(sample: Sample) -> str:
    """One line without a timestamp; labels in alphabetical order, so that equal samples are equal text."""
    labels = label_text(sample.labels)
    return f"{sample.name}{labels} {number_text(sample.value)}\n"


def number_text(value: float) -> str:
    """A number as Prometheus writes it: `+Inf`, `1e+06`."""
    return str(floatToGoString(value))  # type: ignore[no-untyped-call]


def label_text(labels: dict[str, str]) -> str:
    """`{a="1",b="2"}`, in alphabetical order and escaped; empty without labels."""
    return _label_text(tuple(labels.items())) if labels else ""


@lru_cache(maxsize=16_384)
def _label_text(labels: tuple[tuple[str, str], ...]) -> str:
    # Kept, because every scrape has the same labels and most families share theirs: it halves the time of a scrape.
    return "{" + ",".join([f'{name}="{_escaped(value)}"' for name, value in sorted(labels)]) + "}"


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")
