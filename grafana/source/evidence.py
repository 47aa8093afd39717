"""Where values lead: the exporter's evidence pages and runbooks. `exporter` is a text box on every dashboard."""

from __future__ import annotations

from typing import Final

from grafana.source.panels import Link

_LATEST: Final = "${exporter}/evaluations/latest"


_OF: Final = "model=${model:percentencode}&dataset=${__data.fields.dataset:percentencode}"
_WRONG: Final = f"{_LATEST}/misclassified?{_OF}"

EVALUATION: Final = Link("The evaluation", f"{_LATEST}?{_OF}")
FALSE_POSITIVES: Final = Link("Clean images taken for stego", f"{_WRONG}&class=clean")
FALSE_POSITIVES_BY_FORMAT: Final = Link(
    "Clean images of this format taken for stego",
    f"{_WRONG}&class=clean&format=${{__data.fields.format:percentencode}}",
)
FALSE_POSITIVES_BY_CATEGORY: Final = Link(
    "Hard negatives of this category taken for stego",
    f"{_WRONG}&class=negative&category=${{__data.fields.category:percentencode}}",
)
MISSED_BY_METHOD: Final = Link(
    "Missed images of this method", f"{_WRONG}&class=stego&method=${{__data.fields.method:percentencode}}"
)
RUNBOOK: Final = Link("Runbook", "${exporter}/runbooks/${__value.raw}.md")
TRAINING: Final = Link("The training log's curves", "${exporter}/training?model=${__data.fields.model:percentencode}")
