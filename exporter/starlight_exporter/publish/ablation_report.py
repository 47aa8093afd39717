"""An ablation for people and programs: a terminal table and JSON. Nothing is computed here."""

from __future__ import annotations

import json
from dataclasses import asdict

from rich.markup import escape
from rich.table import Table

from starlight_exporter.analysis.comparison import PairedSlice
from starlight_exporter.analysis.stream_effects import AblationStudy, StreamEffect
from starlight_exporter.formatting import NOT_MEASURED, decimal, fraction, integer, p_value, rate, signed_interval
from starlight_exporter.statistics.intervals import Interval


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
            f"{integer(ablation.images)} images, {ablation.not_measured} not measured; model {made.model_sha256[:12]}, "
            f"dataset {made.dataset_fingerprint[:12]}, seed {made.seed}"
        ),
    )
    for heading in ("without", "input changed", "false positives", "detection", "log loss", "p, clean", "p, stego"):
        table.add_column(heading, justify="left" if heading == "without" else "right")
    table.add_row("(full model)", "", rate(ablation.clean), rate(ablation.stego), decimal(ablation.log_loss))
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
        fraction(effect.changed),
        rate(effect.clean),
        rate(effect.stego),
        increase_text(effect.log_loss_increase),
        p_text(effect.slices["clean"]),
        p_text(effect.slices["stego"]),
    )


def increase_text(value: Interval | None) -> str:
    """The mean growth of the loss with its paired 95 % interval."""
    if value is None:
        return NOT_MEASURED
    return signed_interval(value.value, value.lower, value.upper)


def p_text(value: PairedSlice) -> str:
    """The paired test of a slice, or why there is none."""
    if not value.images:
        return NOT_MEASURED
    if value.p_value is None:
        return "no flip"
    return f"{p_value(value.p_value)} ({value.broken} broken, {value.fixed} fixed)"
