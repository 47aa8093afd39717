"""The baseline that the checks of an evaluation were compared with, on its page."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from starlight_exporter.evaluation.results import Evaluation
from starlight_exporter.publish.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class BaselineReference:
    """The baseline in use. `evaluation` is the id of its evaluation, empty for a recorded baseline in a `file`.

    `rates_obstacle` and `latency_obstacle` are why rates or latencies are not comparable, empty if they are;
    `same_verdicts` is whether model file and decision rule are those of the evaluation.
    """

    name: str
    evaluation: str
    file: str
    rates_obstacle: str
    latency_obstacle: str
    same_verdicts: bool


def baseline_reference(evaluation: Evaluation, snapshot: Snapshot, file: Path | None) -> BaselineReference | str:
    """Return the baseline of an evaluation, or the reason why there is none.

    It is known for the current evaluation of a model on a dataset only.
    """
    run = snapshot.runs.get((evaluation.model, evaluation.dataset))
    if run is None or run.basis is None or run.evaluation is None or run.evaluation.id != evaluation.id:
        return "known for the current evaluation only; details of the checks state what they were compared with"
    used = run.basis.baseline
    if used is None:
        return run.basis.no_baseline.text
    other = None if used.is_recorded else snapshot.runs.get((used.name, evaluation.dataset))
    return BaselineReference(
        name=used.name,
        evaluation="" if other is None or other.evaluation is None else other.evaluation.id,
        file=file.name if used.is_recorded and file is not None else "",
        rates_obstacle="" if used.obstacle is None else used.obstacle.text,
        latency_obstacle="" if used.latency_obstacle is None else used.latency_obstacle.text,
        same_verdicts=used.same_verdicts,
    )
