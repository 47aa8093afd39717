#!/usr/bin/env python3
"""Evaluate the shipped models on the shipped datasets, and report which pairs of models are distinguished on which.

    PYTHONPATH=exporter:. .venv/bin/python -m benchmarks.model_pairs --datasets datasets --covers COVERS

Correctness is compared image by image under the production rule, separately for clean files, hard negatives, and the
stego files of each method. Files of one cover are not independent: the p-value is that of an exact sign-flip test of
the differences by cover. All tests of all datasets are adjusted together (Holm); a pair is distinguished on a dataset
if any of its p-values is below 0.01. Writes model_pairs.md and model_pairs.json.
"""

from __future__ import annotations

import argparse
import itertools
import json
import tempfile
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from starlight_exporter.analysis.comparison import is_wrong
from starlight_exporter.dataset.cache_settings import CacheSettings
from starlight_exporter.detector.contract import METHODS
from starlight_exporter.detector.decision import PRODUCTION
from starlight_exporter.evaluation.request import RunRequest, available_cores
from starlight_exporter.evaluation.results import Evaluation, Prediction
from starlight_exporter.evaluation.run import evaluate
from starlight_exporter.files import write_text
from starlight_exporter.formatting import percent_range
from starlight_exporter.statistics.intervals import Proportion, proportion
from starlight_exporter.statistics.multiple_testing import holm
from starlight_exporter.statistics.paired import sign_flip_p_value

ROOT: Final = Path(__file__).resolve().parent.parent
MODELS: Final = ("v3", "v4", "v4_adversarial_hardened", "v4_int8", "v4_triplet_loss")
DATASETS: Final = ("reference", "payloads", "sizes", "sources", "adversarial")
SLICES: Final = ("clean", "negative", *METHODS)
SIGNIFICANCE_LEVEL: Final = 0.01


@dataclass(frozen=True, slots=True)
class Pair:
    """Two models on one slice of a dataset: files that only one of them classifies correctly, and the p-values."""

    dataset: str
    first: str
    second: str
    slice: str
    only_first: int
    only_second: int
    p_value: float
    adjusted: float


def main() -> int:
    """Evaluate, compare, and write both files."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--datasets", type=Path, default=ROOT / "datasets", help="folder of the five datasets")
    parser.add_argument("--covers", type=Path, help="another dataset of real images, in the same tables")
    parser.add_argument("--output", type=Path, default=ROOT / "benchmarks", help="folder of the results")
    options = parser.parse_args()
    roots = {name: options.datasets / name for name in DATASETS}
    if options.covers is not None:
        roots["covers"] = options.covers
    evaluations: dict[tuple[str, str], Evaluation] = {}
    parts: list[str] = []
    pairs: list[Pair] = []
    with tempfile.TemporaryDirectory(prefix="starlight-pairs-") as folder:
        cache = CacheSettings(Path(folder))
        for dataset, root in roots.items():
            predictions = {}
            for model in MODELS:
                result = evaluate(request(model, dataset, root, cache))
                evaluations[dataset, model] = result.evaluation
                predictions[model] = result.predictions
                print(dataset, model, rate(result.evaluation.clean), rate(result.evaluation.stego), flush=True)
            parts += breakdowns(dataset, root, predictions)
            for first, second in itertools.combinations(MODELS, 2):
                pairs += compare(dataset, (first, predictions[first]), (second, predictions[second]))
    adjusted = holm([pair.p_value for pair in pairs])
    pairs = [Pair(**{**asdict(pair), "adjusted": value}) for pair, value in zip(pairs, adjusted, strict=True)]
    write_text(options.output / "model_pairs.json", json.dumps(record(evaluations, pairs)) + "\n")
    write_text(options.output / "model_pairs.md", document(evaluations, pairs, tuple(roots), parts))
    return 0


def request(model: str, dataset: str, root: Path, cache: CacheSettings | None = None) -> RunRequest:
    """Return the request of one evaluation."""
    return RunRequest(
        model=model,
        role="research",
        model_path=ROOT / "models" / model / "model.onnx",
        decision=PRODUCTION,
        dataset=dataset,
        dataset_root=root,
        trigger="benchmark",
        latency_sample=0,
        threads=available_cores(),
        cache=cache,
    )


def compare(
    dataset: str, first: tuple[str, Sequence[Prediction]], second: tuple[str, Sequence[Prediction]]
) -> Iterable[Pair]:
    """Yield the test of each slice that has files; the p-values are not adjusted yet."""
    others = {prediction.path: is_wrong(prediction) for prediction in second[1]}
    for name in SLICES:
        differences: defaultdict[str, int] = defaultdict(int)
        counts = [0, 0]
        for prediction in first[1]:
            wrong, other = is_wrong(prediction), others.get(prediction.path)
            if wrong is None or other is None or name not in (prediction.file_class, prediction.method):
                continue
            differences[prediction.cover_key] += int(other) - int(wrong)
            counts[0] += other and not wrong
            counts[1] += wrong and not other
        if differences:
            values = list(differences.values())
            p_value = min(1.0, 2 * min(sign_flip_p_value(values), sign_flip_p_value([-value for value in values])))
            yield Pair(dataset, first[0], second[0], name, counts[0], counts[1], p_value, 1.0)


def rate(value: Proportion | None) -> str:
    """Return a rate with its counts and interval, or "not measured"."""
    if value is None or not value.total:
        return "not measured"
    return f"{value.count:,} of {value.total:,} ({percent_range(value.lower, value.upper)})"


def record(evaluations: dict[tuple[str, str], Evaluation], pairs: Sequence[Pair]) -> dict[str, Any]:
    """Return everything as JSON values."""
    return {
        "decision": PRODUCTION.describe(),
        "significance_level": SIGNIFICANCE_LEVEL,
        "models": {model: one.provenance.model_sha256 for (_, model), one in evaluations.items()},
        "datasets": {dataset: one.provenance.dataset_fingerprint for (dataset, _), one in evaluations.items()},
        "pairs": [asdict(pair) for pair in pairs],
    }


def document(
    evaluations: dict[tuple[str, str], Evaluation],
    pairs: Sequence[Pair],
    datasets: Sequence[str],
    parts: Sequence[str],
) -> str:
    """Return the tables of rates, of their parts and of pairs as markdown."""
    lines = [
        "# Shipped models on the shipped datasets",
        "",
        "Generated by `python -m benchmarks.model_pairs`. Production rule; counts with 95% confidence intervals, which "
        "take files of the same cover together. Rates on `adversarial` describe files that a search with v4 has "
        "selected ([datasets](../docs/datasets.md)).",
        "",
        "## Rates",
        "",
    ]
    for dataset in datasets:
        lines += [f"### {dataset}", ""]
        lines += ["| model | " + " | ".join(RATES) + " |", "|---|" + "---|" * len(RATES)]
        for model in MODELS:
            one = evaluations[dataset, model]
            lines.append(f"| {model} | " + " | ".join(rate(select(one)) for select in RATES.values()) + " |")
        lines.append("")
    lines += parts
    lines += [
        "## Distinguished pairs",
        "",
        f"Adjusted p < {SIGNIFICANCE_LEVEL}. Numbers: files that only the first, and only the second model classifies "
        "correctly.",
        "",
        "| pair | " + " | ".join(datasets) + " |",
        "|---|" + "---|" * len(datasets),
    ]
    for first, second in itertools.combinations(MODELS, 2):
        cells = []
        for dataset in datasets:
            found = [
                f"{pair.slice} {pair.only_first}:{pair.only_second}, p {_p(pair.adjusted)}"
                for pair in pairs
                if (pair.dataset, pair.first, pair.second) == (dataset, first, second)
                and pair.adjusted < SIGNIFICANCE_LEVEL
            ]
            cells.append("<br>".join(found) or "not distinguished")
        lines.append(f"| {first} – {second} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def breakdowns(dataset: str, root: Path, predictions: Mapping[str, Sequence[Prediction]]) -> Iterable[str]:
    """Yield tables of positives by what distinguishes the files of a dataset: clean files, then stego files."""
    for title, key in BREAKDOWNS.get(dataset, {}).items():
        counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
        totals: Counter[str] = Counter()
        for model, found in predictions.items():
            for prediction in found:
                row = key(prediction, root)
                if row is not None and prediction.verdict is not None:
                    counts[row][model] += prediction.verdict
                    totals[row] += model == MODELS[0]
        yield from (f"### {dataset}: {title}", "", "| files | total | " + " | ".join(MODELS) + " |")
        yield "|---|---:|" + "---:|" * len(MODELS)
        for row in sorted(totals):
            yield f"| {row} | {totals[row]} | " + " | ".join(str(counts[row][model]) for model in MODELS) + " |"
        yield ""


def _payload_row(prediction: Prediction, _: Path) -> str | None:
    size = prediction.facts.payload_bytes
    if size is None or prediction.method is None:
        return None
    low = max(limit for limit in PAYLOAD_LIMITS if limit <= size or limit == PAYLOAD_LIMITS[0])
    return f"{prediction.method}, from {low:06,} bytes"


def _content_row(prediction: Prediction, _: Path) -> str | None:
    kind = Path(prediction.path).name.split("_")[0]
    size = prediction.facts.payload_bytes
    if prediction.method is None or size is None or size < PAYLOAD_LIMITS[2]:
        return None
    content = "random" if kind == "random" else "compressed" if kind in ("deflate", "gzip") else "text"
    return f"{prediction.method}, {content}, {PAYLOAD_LIMITS[2]} bytes or more"


def _crop_row(prediction: Prediction, root: Path) -> str | None:
    if prediction.method not in ("alpha", "palette", "lsb"):
        return None
    labels = json.loads((root / f"{prediction.path}.json").read_text(encoding="utf-8"))
    if prediction.facts.payload_bytes is None or prediction.facts.payload_bytes < PAYLOAD_LIMITS[2]:
        return None
    kind = Path(prediction.path).name.split("_")[0]
    if kind in ("random", "deflate", "gzip"):
        return None
    place = labels["embedding"]["placement"] if labels["reaches_crop"] else "misses the crop"
    return f"{prediction.method}, text, {PAYLOAD_LIMITS[2]} bytes or more, {place}"


def _side_row(prediction: Prediction, _: Path) -> str | None:
    width, height = prediction.facts.width, prediction.facts.height
    if width is None or height is None:
        return None
    low = max(limit for limit in SIDE_LIMITS if limit <= max(width, height))
    return f"{prediction.method or prediction.file_class}, longer side from {low:05,} pixels"


def _source_row(prediction: Prediction, _: Path) -> str | None:
    if prediction.file_class == "negative":
        return None
    folder = Path(prediction.facts.cover or prediction.path).parent.name
    return f"{folder}, {prediction.method or prediction.file_class}"


PAYLOAD_LIMITS: Final = (8, 64, 256, 1024, 4096)
SIDE_LIMITS: Final = (1, 129, 257, 513, 1025)
BREAKDOWNS: Final[dict[str, dict[str, Callable[[Prediction, Path], str | None]]]] = {
    "payloads": {"by size": _payload_row, "by content": _content_row, "by place": _crop_row},
    "sizes": {"by size of the image": _side_row},
    "sources": {"by source": _source_row},
    "adversarial": {"by source": _source_row},
}
"""Dataset → title → function that returns the row of a file, or None."""


def _p(value: float) -> str:
    return f"{value:.1g}"


def _detections(method: str) -> Any:
    return lambda one: one.detections.get(method)


def _negatives(one: Evaluation) -> Proportion | None:
    found = list(one.negatives.values())
    count, total = sum(part.count for part in found), sum(part.total for part in found)
    return proportion(count, total) if total else None


RATES: Final[dict[str, Any]] = {
    "false positives, clean": lambda one: one.clean,
    "false positives, hard negatives": _negatives,
    **{f"detections, {method}": _detections(method) for method in METHODS},
}

if __name__ == "__main__":
    raise SystemExit(main())
