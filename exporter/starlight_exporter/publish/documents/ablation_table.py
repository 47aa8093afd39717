"""The table of what each stream is worth, for every document that shows it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from starlight_exporter.analysis.stream_effects import AblationStudy
from starlight_exporter.formatting import NOT_MEASURED, decimal, fraction, p_value, rate, signed_interval
from starlight_exporter.statistics.intervals import Interval

ABLATION_HEADINGS: Final = (
    "without",
    "input changed",
    "false positives",
    "detection",
    "log loss",
    "grows by",
    "p, clean",
    "p, stego",
)


def ablation_rows(study: AblationStudy) -> Iterator[tuple[str, ...]]:
    """The full model, then each stream, most harmful to lose first."""
    full = study.ablation
    yield ("(nothing)", "", rate(full.clean), rate(full.stego), decimal(full.log_loss), "", "", "")
    for effect in full.effects:
        if effect.state != "measured":
            why = "not read by the model" if effect.state == "absent" else "not measurable: no input changed"
            yield (effect.stream, why, "", "", "", "", "", "")
            continue
        yield (
            effect.stream,
            fraction(effect.changed),
            rate(effect.clean),
            rate(effect.stego),
            decimal(effect.log_loss),
            _increase(effect.log_loss_increase),
            p_value(effect.slices["clean"].p_value),
            p_value(effect.slices["stego"].p_value),
        )


def _increase(value: Interval | None) -> str:
    if value is None:
        return NOT_MEASURED
    return signed_interval(value.value, value.lower, value.upper)
