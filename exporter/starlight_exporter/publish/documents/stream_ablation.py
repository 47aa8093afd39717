"""`stream_ablation.md`: what each of the eight input streams is worth to one model, over all and by method."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from starlight_exporter.analysis.stream_effects import AblationStudy, StreamEffect
from starlight_exporter.detector.contract import METHODS, Stream
from starlight_exporter.formatting import integer, rate
from starlight_exporter.publish.documents.ablation_table import ABLATION_HEADINGS, ablation_rows
from starlight_exporter.publish.documents.markdown import PROVENANCE_HEADINGS, provenance_rows, table

_REPLACED = {
    "zero": "all zeros",
    "mean": "its mean over the images",
    "shuffle": "that of another image, drawn with the seed",
}


def document(study: AblationStudy) -> str:
    """The whole text; every number is of the study."""
    full = study.ablation
    return (
        "\n\n".join(
            (
                "# What each stream is worth",
                f"{study.model} on {integer(full.images)} images of {study.dataset}, each judged again without one"
                f" stream: {_REPLACED[full.mode]} in its place ({full.mode}). Rates have exact 95% confidence intervals"
                f" (Clopper-Pearson). {integer(full.not_measured)} images were not measured and are excluded.",
                table(ABLATION_HEADINGS, ablation_rows(study)),
                "Most harmful to lose first. Log loss in nats over clean and stego images, its growth with a paired"
                " 95% interval; p values of exact McNemar tests of the verdicts against the full model's.",
                "## What follows",
                "\n".join(f"- {line}" for line in findings(full.effects)),
                "## Detection by method",
                table(("without", *METHODS), _by_method(study)),
                "## Provenance",
                table((*PROVENANCE_HEADINGS, "seed"), [(*provenance_rows([study])[0], str(study.provenance.seed))]),
            )
        )
        + "\n"
    )


def findings(effects: Sequence[StreamEffect]) -> Iterator[str]:
    """One line per kind of stream: needed, not shown to be needed, better without, not measurable, not read."""
    kinds: dict[str, list[Stream]] = {}
    for effect in effects:
        kinds.setdefault(_kind(effect), []).append(effect.stream)
    for kind, streams in kinds.items():
        yield f"{kind}: {', '.join(streams)}."


def _kind(effect: StreamEffect) -> str:
    if effect.state == "absent":
        return "Not read by this model"
    if effect.state == "not measurable":
        return "Not measurable, which is not the same as worthless: no image's input changed"
    growth = effect.log_loss_increase
    if growth is None or growth.lower is None or growth.upper is None:
        return "Not measured"
    if growth.lower > 0:
        return "Needed: without it the loss grows by more than chance"
    if growth.upper < 0:
        return "Better without it on these images: the loss shrinks by more than chance"
    return "Not shown to be needed: chance explains what the loss does without it"


def _by_method(study: AblationStudy) -> Iterator[tuple[str, ...]]:
    full = study.ablation
    yield ("(nothing)", *(rate(full.detections.get(method)) for method in METHODS))
    for effect in full.effects:
        if effect.state == "measured":
            yield (effect.stream, *(rate(effect.detections.get(method)) for method in METHODS))
