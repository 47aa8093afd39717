"""`stream_ablation.md`: the importance of each of the eight input streams to one model, overall and by method."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from starlight_exporter.analysis.modes import AblationMode
from starlight_exporter.analysis.stream_effects import AblationStudy, StreamEffect
from starlight_exporter.detector.contract import METHODS, Stream
from starlight_exporter.formatting import integer, rate
from starlight_exporter.publish.documents.ablation_table import ABLATION_HEADINGS, ABLATION_NOTE, ablation_rows
from starlight_exporter.publish.documents.markdown import PROVENANCE_HEADINGS, RATE_NOTE, provenance_rows, table

_REPLACEMENTS: Final[Mapping[AblationMode, str]] = {
    "zero": "zeros",
    "mean": "its mean over the images",
    "shuffle": "that of another, randomly selected image",
}


def document(study: AblationStudy) -> str:
    """Return the text of the document."""
    ablation = study.ablation
    parts = (
        f"# Stream ablation: {study.model} on {study.dataset}",
        f"{integer(ablation.images)} images, each evaluated again with one stream replaced by"
        f" {_REPLACEMENTS[ablation.mode]} (`{ablation.mode}`). {RATE_NOTE} {integer(ablation.not_measured)} images were"
        " not measured and are excluded.",
        table(ABLATION_HEADINGS, ablation_rows(study)),
        ABLATION_NOTE,
        "## Findings",
        "\n".join(f"- {line}" for line in findings(ablation.effects)),
        "## Detection rate by method",
        table(("ablated stream", *METHODS), _by_method(study)),
        "## Provenance",
        table((*PROVENANCE_HEADINGS, "seed"), [(*provenance_rows([study])[0], str(study.provenance.seed))]),
    )
    return "\n\n".join(parts) + "\n"


def findings(effects: Sequence[StreamEffect]) -> Iterator[str]:
    """Yield one line per kind of effect with its streams."""
    kinds: dict[str, list[Stream]] = {}
    for effect in effects:
        kinds.setdefault(_kind(effect), []).append(effect.stream)
    for kind, streams in kinds.items():
        yield f"{kind}: {', '.join(streams)}."


def _kind(effect: StreamEffect) -> str:
    if effect.state == "absent":
        return "Not an input of this model"
    if effect.state == "not measurable":
        return "Not measurable (no input changed, which is not the same as no effect)"
    increase = effect.log_loss_increase
    if increase is None or increase.lower is None or increase.upper is None:
        return "Not measured"
    if increase.lower > 0:
        return "Significant increase of the log loss"
    if increase.upper < 0:
        return "Significant decrease of the log loss"
    return "No significant effect"


def _by_method(study: AblationStudy) -> Iterator[tuple[str, ...]]:
    ablation = study.ablation
    yield ("none (full model)", *(rate(ablation.detections.get(method)) for method in METHODS))
    for effect in ablation.effects:
        if effect.state == "measured":
            yield (effect.stream, *(rate(effect.detections.get(method)) for method in METHODS))
