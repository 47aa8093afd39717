"""Links from values to the exporter's evidence pages and runbooks.

The variable `exporter` is the URL of the selected exporter with a trailing slash.
"""

from __future__ import annotations

from typing import Final

from grafana.source.panels import Link

_LATEST: Final = "${exporter}evaluations/latest"
_OF: Final = "model=${model:percentencode}&dataset=${__data.fields.dataset:percentencode}"
_MISCLASSIFIED: Final = f"{_LATEST}/misclassified?{_OF}"

EVALUATION: Final = Link("Evaluation", f"{_LATEST}?{_OF}")
PROVISIONAL: Final = Link("Provisional result", f"${{exporter}}provisional?{_OF}")
EMBEDDINGS: Final = Link("Embeddings", f"{_LATEST}/embeddings?{_OF}")
FALSE_POSITIVES: Final = Link("False positives", f"{_MISCLASSIFIED}&class=clean")
FALSE_POSITIVES_BY_FORMAT: Final = Link(
    "False positives of this format",
    f"{_MISCLASSIFIED}&class=clean&format=${{__data.fields.format:percentencode}}",
)
FALSE_POSITIVES_BY_CATEGORY: Final = Link(
    "False positives of this category",
    f"{_MISCLASSIFIED}&class=negative&category=${{__data.fields.category:percentencode}}",
)
MISSED_BY_METHOD: Final = Link(
    "Missed images of this method", f"{_MISCLASSIFIED}&class=stego&method=${{__data.fields.method:percentencode}}"
)
MISSED_BY_EMBEDDING_RATE: Final = Link(
    "Missed images of this embedding rate",
    f"{MISSED_BY_METHOD.url}&embedding_rate=${{__data.fields.rate:percentencode}}",
)
_BY_PROPERTY: Final = "${__data.fields.property:percentencode}=${__data.fields.value:percentencode}"
MISSED_BY_PROPERTY: Final = Link("Missed images of this slice", f"{_MISCLASSIFIED}&class=stego&{_BY_PROPERTY}")
FALSE_POSITIVES_BY_PROPERTY: Final = Link(
    "False positives of this slice", f"{_MISCLASSIFIED}&class=clean&{_BY_PROPERTY}"
)
RUNBOOK: Final = Link("Runbook", "${exporter}runbooks/${__value.raw}.md")
TRAINING: Final = Link("Training curves", "${exporter}training?model=${__data.fields.model:percentencode}")
