"""An ablation for people and programs: a terminal table and JSON. Nothing is computed here."""

from __future__ import annotations

import json
from dataclasses import asdict

from rich.markup import escape
from rich.table import Table

from starlight_exporter.analysis.comparison import PairedSlice
from starlight_exporter.analysis.stream_effects import AblationStudy, StreamEffect
from starlight_exporter.statistics.intervals import Interval, Proportion

NOT_MEASURED = "not measured"


def ablation_json(study: AblationStudy) -> str:
    """Every figure, with the provenance."""
    return json.dumps(asdict(study), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def ablation_table(study: AblationStudy) -> Table:
    """The full model, then each stream taken away, most harmful first."""
    ablation = study.ablation
    made = study.provenance
    table = Table(
        title=escape(f"{study.model} on {study.dataset}, one stream replaced ({ablation.mode})"),
        caption=escape(
            f"{ablation.images} images, {ablation.not_measured} not measured; model {made.model_sha256[:12]}, "
            f"dataset {made.dataset_fingerprint[:12]}, seed {made.seed}"
        ),
    )
    for heading in ("without", "input changed", "false positives", "detection", "log loss", "p, clean", "p, stego"):
        table.add_column(heading, justify="left" if heading == "without" else "right")
    table.add_row("(full model)", "", ratio_text(ablation.clean), ratio_text(ablation.stego), _loss(ablation.log_loss))
    table.add_section()
    for effect in ablation.effects:
        table.add_row(*effect_cells(effect))
    return table


def effect_cells(effect: StreamEffect) -> tuple[str, ...]:
    """Stream, share of changed inputs, rates with intervals, growth of the loss with interval, and p values."""
    if effect.state != "measured":
        why = "the model does not read it" if effect.state == "absent" else "not measurable: no input changed"
        return (effect.stream, why, "", "", "", "", "")
    return (
        effect.stream,
        f"{effect.changed.count} of {effect.changed.total}",
        ratio_text(effect.clean),
        ratio_text(effect.stego),
        increase_text(effect.log_loss_increase),
        p_text(effect.slices["clean"]),
        p_text(effect.slices["stego"]),
    )


def ratio_text(value: Proportion | None) -> str:
    """A rate with its exact 95 % interval and count."""
    if value is None or value.ratio is None or value.lower is None or value.upper is None:
        return NOT_MEASURED
    return f"{value.ratio:.2%} ({value.lower:.2%} to {value.upper:.2%}; {value.count}/{value.total})"


def increase_text(value: Interval | None) -> str:
    """The mean growth of the loss with its paired 95 % interval."""
    if value is None:
        return NOT_MEASURED
    bounds = "" if value.lower is None else f" ({value.lower:+.4f} to {value.upper:+.4f})"
    return f"{value.value:+.4f}{bounds}"


def p_text(value: PairedSlice) -> str:
    """The paired test of a slice, or why there is none."""
    if not value.images:
        return NOT_MEASURED
    if value.p_value is None:
        return "no flip"
    return f"{value.p_value:.2g} ({value.broken} broken, {value.fixed} fixed)"


def _loss(value: float | None) -> str:
    return NOT_MEASURED if value is None else f"{value:.4f}"
