"""Evaluate steganalysis models on labelled images, and monitor their quality with Prometheus.

The public API runs without the service:

    import starlight_exporter as starlight

    evaluation = starlight.evaluate("models/v4/model.onnx", "datasets/reference")
    print(evaluation.clean.ratio, evaluation.clean.lower, evaluation.clean.upper)

`evaluate` returns an Evaluation, `compare` a paired Comparison of two models on the same images, `ablate` an
AblationStudy, `study` a Study of several models and datasets, `score` the verdicts on images without labels, and
`read_history` the evaluations that a service has stored. `Evaluation.to_frame` needs the extra `pandas`. Every error is
a StarlightError. Other modules are internal and may change between versions.
"""

import os
from importlib import import_module
from typing import TYPE_CHECKING

# Read when onnxruntime is imported: it would store a device id and an event database in the user's cache directory, and
# look up a host for them whenever a session is created. Its function to disable telemetry does not prevent this.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"

if TYPE_CHECKING:
    from starlight_exporter.analysis.comparison import Comparison, PairedSlice
    from starlight_exporter.analysis.model_pairs import PairTest
    from starlight_exporter.analysis.stream_effects import AblationStudy, StreamEffect
    from starlight_exporter.analysis.study_results import Study
    from starlight_exporter.api import ablate, compare, evaluate, read_history, score, study
    from starlight_exporter.detector.decision import DecisionRule
    from starlight_exporter.detector.providers import ExecutionProvider
    from starlight_exporter.errors import StarlightError
    from starlight_exporter.evaluation.image_scores import ImageScore, Scoring
    from starlight_exporter.evaluation.results import Evaluation
    from starlight_exporter.statistics.intervals import Proportion

__version__ = "0.2.0"

__all__ = [
    "AblationStudy",
    "Comparison",
    "DecisionRule",
    "Evaluation",
    "ExecutionProvider",
    "ImageScore",
    "PairTest",
    "PairedSlice",
    "Proportion",
    "Scoring",
    "StarlightError",
    "StreamEffect",
    "Study",
    "ablate",
    "compare",
    "evaluate",
    "read_history",
    "score",
    "study",
]

_MODULES = {
    "AblationStudy": "analysis.stream_effects",
    "Comparison": "analysis.comparison",
    "DecisionRule": "detector.decision",
    "Evaluation": "evaluation.results",
    "ExecutionProvider": "detector.providers",
    "ImageScore": "evaluation.image_scores",
    "PairTest": "analysis.model_pairs",
    "PairedSlice": "analysis.comparison",
    "Proportion": "statistics.intervals",
    "Scoring": "evaluation.image_scores",
    "StarlightError": "errors",
    "StreamEffect": "analysis.stream_effects",
    "Study": "analysis.study_results",
    "ablate": "api",
    "compare": "api",
    "evaluate": "api",
    "read_history": "api",
    "score": "api",
    "study": "api",
}


def __getattr__(name: str) -> object:
    # Every process imports this package, but few need NumPy and pydantic, which most of these modules import.
    if name in _MODULES:
        return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
