"""The table of a stream ablation, for documents and the terminal."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from starlight_exporter.analysis.stream_effects import AblationStudy, StreamEffect
from starlight_exporter.formatting import NOT_MEASURED, decimal, fraction, p_value, rate, signed_interval
from starlight_exporter.statistics.intervals import Interval

ABLATION_HEADINGS: Final = (
    "ablated stream",
    "images changed",
    "false positive rate",
    "detection rate",
    "log loss",
    "Δ log loss",
    "p (clean)",
    "p (stego)",
)
ABLATION_NOTE: Final = (
    "Most important stream first. Δ log loss: increase of the mean log loss in nats over clean and stego images, with"
    " paired 95% confidence interval. p: exact McNemar test of the verdicts against those of the full model; – without"
    " flips."
)


def ablation_rows(study: AblationStudy) -> Iterator[tuple[str, ...]]:
    """Yield the full model, then each stream."""
    full = study.ablation
    yield ("none (full model)", "", rate(full.clean), rate(full.stego), decimal(full.log_loss), "", "", "")
    for effect in full.effects:
        yield (effect.stream, *_cells(effect))


def _cells(effect: StreamEffect) -> tuple[str, ...]:
    if effect.state != "measured":
        reason = "not an input of the model" if effect.state == "absent" else "not measurable: no input changed"
        return (reason, "", "", "", "", "", "")
    return (
        fraction(effect.changed),
        rate(effect.clean),
        rate(effect.stego),
        decimal(effect.log_loss),
        _increase(effect.log_loss_increase),
        p_value(effect.slices["clean"].p_value),
        p_value(effect.slices["stego"].p_value),
    )


def _increase(value: Interval | None) -> str:
    return NOT_MEASURED if value is None else signed_interval(value.value, value.lower, value.upper)
