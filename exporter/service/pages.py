"""What the pages show, put together from snapshots and stored evidence; the templates only lay it out."""

from __future__ import annotations

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

from jinja2 import Environment, FileSystemLoader, StrictUndefined

import exporter
from exporter.detector.contract import METHODS
from exporter.errors import StorageError
from exporter.evaluation.comparison import flips, misclassified
from exporter.evaluation.evaluation import Evaluation, Prediction
from exporter.publish.evidence import Entry, Evidence
from exporter.publish.snapshot import ModelState, Pair, RunState, Snapshot
from exporter.service.state import RunRecord

TEMPLATES: Final = Path(__file__).parent / "templates"
SHOWN_FILES: Final = 60
FILTERS: Final[tuple[tuple[str, str], ...]] = (
    ("class", "file_class"),
    ("method", "method"),
    ("format", "image_format"),
    ("category", "category"),
)
"""Query parameter and the attribute of a prediction that it selects by."""


def percent(ratio: float | None) -> str:
    """A ratio in percent, two decimals."""
    return "not measured" if ratio is None else f"{ratio * 100:.2f} %"


def milliseconds(seconds: float) -> str:
    """Seconds in milliseconds."""
    return f"{seconds * 1000:.2f} ms"


def figure(value: float | None) -> str:
    """A plain number, four decimals."""
    return "not measured" if value is None else f"{value:.4f}"


def utc(seconds: float) -> str:
    """UTC seconds as date and time."""
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S} UTC"


def age(seconds: float) -> str:
    """How long ago, in the largest unit that fits."""
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"


_ENVIRONMENT = Environment(
    loader=FileSystemLoader(TEMPLATES), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
)
_ENVIRONMENT.filters |= {
    "percent": percent,
    "ms": milliseconds,
    "figure": figure,
    "utc": utc,
    "number": lambda value: f"{value:g}",
}


def render(template: str, **values: Any) -> str:
    """A page; every value is escaped."""
    return _ENVIRONMENT.get_template(template).render(version=exporter.__version__, **values)


def status_page(snapshot: Snapshot, runs: list[RunRecord], not_ready: str) -> str:
    """Each model on each dataset at a glance, and the recent runs."""
    return render(
        "status.html",
        not_ready=not_ready,
        config=snapshot.config,
        storage_failures=snapshot.storage_failures,
        cells=[_cell(snapshot.models[pair[0]], pair, run) for pair, run in snapshot.runs.items()],
        runs=runs[:40],
    )


def _cell(model: ModelState, pair: Pair, run: RunState) -> dict[str, Any]:
    evaluation = run.evaluation
    failed = [check for check in run.checks if check.passed is False and check.severity != "info"]
    if evaluation is None:
        state, level = ("evaluating" if run.in_progress else "not measured"), "quiet"
    elif any(check.severity == "critical" for check in failed):
        state, level = f"{len(failed)} checks fail, not by chance", "bad"
    elif failed:
        state, level = f"{len(failed)} checks fail, chance not ruled out", "warn"
    else:
        state, level = "no check fails", "good"
    if run.last_run_successful is False:
        state, level = f"{state}; the last run failed", "bad"
    missing = {} if evaluation is None else {k: v for k, v in evaluation.not_measured.items() if v}
    return {
        "model": model,
        "dataset": pair[1],
        "run": run,
        "evaluation": evaluation,
        "state": state,
        "level": level,
        "failed": failed,
        "load_failures": ", ".join(f"{reason} {count}" for reason, count in model.load_failures.items()) or "missing",
        "missing": ", ".join(f"{count} {reason.replace('_', ' ')}" for reason, count in missing.items()),
        "detections": [] if evaluation is None else [(m, p, None) for m, p in evaluation.detections.items()],
        "age": "" if evaluation is None else age(time.time() - evaluation.finished_at),
    }


def evaluation_page(evaluation: Evaluation) -> str:
    """Every slice of one evaluation with its interval, and where the numbers come from."""
    base = f"/evaluations/{evaluation.id}/misclassified"
    clean = [("all clean images", evaluation.clean, f"{base}?class=clean")]
    clean += [(f, p, f"{base}?class=clean&format={f}") for f, p in evaluation.clean_by_format.items()]
    provenance = evaluation.provenance
    return render(
        "evaluation.html",
        e=evaluation,
        clean=clean,
        detections=[(m, p, f"{base}?class=stego&method={m}") for m, p in evaluation.detections.items()],
        negatives=[
            (c, p, f"{base}?{urlencode({'class': 'negative', 'category': c})}") for c, p in evaluation.negatives.items()
        ],
        columns=(*METHODS, "clean"),
        provenance=[
            ("model SHA-256", provenance.model_sha256),
            ("model file", evaluation.model_facts.file),
            ("dataset fingerprint", provenance.dataset_fingerprint),
            ("decision", provenance.decision),
            ("exporter", provenance.exporter_version),
            ("onnxruntime", provenance.onnxruntime_version),
            ("numpy", provenance.numpy_version),
            ("pillow", provenance.pillow_version),
            ("seed", provenance.seed),
            ("asked by", evaluation.trigger),
            ("duration", f"{evaluation.duration_seconds:.1f} s, {evaluation.images_per_second:.0f} images/s in bulk"),
        ],
    )


def selected(predictions: tuple[Prediction, ...], query: Mapping[str, str]) -> tuple[Prediction, ...]:
    """The predictions that a page's filters leave; an unknown value leaves none."""
    wanted = [(attribute, query[name]) for name, attribute in FILTERS if query.get(name)]
    return tuple(p for p in predictions if all(getattr(p, attribute) == value for attribute, value in wanted))


def misclassified_page(evidence: Evidence, entry: Entry, query: Mapping[str, str], thumbnails: dict[str, str]) -> str:
    """Who is wrong in this selection, and who flipped since the evaluation before on the same images."""
    evaluation = evidence.evaluation(entry)
    everything = evidence.predictions(entry)
    chosen = selected(everything, query)
    active = {name: query[name] for name, _ in FILTERS if query.get(name)}
    base = f"/evaluations/{entry.id}/misclassified"
    return render(
        "misclassified.html",
        e=evaluation,
        wrong=misclassified(chosen),
        measured=sum(p.verdict is not None for p in chosen),
        filtered=bool(active),
        filters=_filters(misclassified(everything), active, base),
        flips=_flips(evidence, entry, everything, query),
        thumbnails=thumbnails,
        limit=SHOWN_FILES,
        csv=f"{base}.csv?{urlencode(active)}" if active else f"{base}.csv",
    )


def _filters(
    wrong: tuple[Prediction, ...], active: dict[str, str], base: str
) -> list[tuple[str, list[tuple[str, str, bool]]]]:
    found = []
    for name, attribute in FILTERS:
        values = sorted({str(getattr(p, attribute)) for p in wrong if getattr(p, attribute) is not None})
        if not values:
            continue
        others = {key: value for key, value in active.items() if key != name}
        choices = [("all", f"{base}?{urlencode(others)}", name not in active)]
        choices += [(v, f"{base}?{urlencode({**others, name: v})}", active.get(name) == v) for v in values]
        found.append((name, choices))
    return found


def _flips(
    evidence: Evidence,
    entry: Entry,
    predictions: tuple[Prediction, ...],
    query: Mapping[str, str],
) -> dict[str, Any] | None:
    before = evidence.previous(entry)
    if before is None:
        return None
    try:
        found = flips(evidence.predictions(before), predictions)
    except StorageError:
        # Pruned between the list and the read: then there is nothing left to compare with.
        return None
    return {
        "id": before.id,
        "at": before.finished_at,
        "fixed": [flip for flip in found.fixed if selected((flip.after,), query)],
        "broken": [flip for flip in found.broken if selected((flip.after,), query)],
    }
