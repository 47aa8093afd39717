"""Search the candidates of the recipe `adversarial` for the hardest files of a model, and write their numbers.

    PYTHONPATH=exporter .venv/bin/python -m training.mine_adversarial --model models/v4/model.onnx

Clean files and hard negatives: those with the highest probability. Stego files of each method: half with the lowest
probability, half with a probability nearest to the threshold of their method. The files are generated from the numbers
only, so the model is needed for the search, not for the dataset. Rates on the result describe the selected files; they
estimate no rate of other data.
"""

from __future__ import annotations

import argparse
import json
import math
import tempfile
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, Final, cast

from starlight_exporter.detector.contract import METHODS, Method
from starlight_exporter.detector.decision import PRODUCTION
from starlight_exporter.detector.model_file import model_sha256
from starlight_exporter.evaluation.request import RunRequest, available_cores
from starlight_exporter.evaluation.results import Prediction
from starlight_exporter.evaluation.run import evaluate
from starlight_exporter.files import write_text
from starlight_exporter.synthesis import adversarial_recipe
from starlight_exporter.synthesis.adversarial import clean_candidate, negative_candidate, stego_candidate
from starlight_exporter.synthesis.carriers import encode, extension
from starlight_exporter.synthesis.hiding import hide
from starlight_exporter.synthesis.negatives import CATEGORIES

CANDIDATES: Final[dict[str, int]] = {
    "clean": 1500,
    **dict.fromkeys(CATEGORIES, 200),
    **dict.fromkeys(METHODS, 250),
}
FOLDERS: Final[dict[str, str]] = {
    "clean": "clean/candidates",
    **{category: f"negatives/{category}" for category in CATEGORIES},
    **{method: f"stego/{method}" for method in METHODS},
}
"""Kind → folder of the candidates during the search."""
CLEAN: Final = 100
NEGATIVES: Final = 20
STEGO: Final = 40
SMALLEST_PROBABILITY: Final = 1e-9


def main() -> int:
    """Search and write the numbers."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True, help="ONNX file of the model to search with")
    target = Path(adversarial_recipe.__file__).with_name(adversarial_recipe.MINED_SEEDS)
    parser.add_argument("--output", type=Path, default=target, help="file to write (default: that of the package)")
    options = parser.parse_args()
    write_text(options.output, json.dumps(mine(options.model), separators=(",", ":")) + "\n")
    print(options.output)
    return 0


def mine(model: Path) -> dict[str, Any]:
    """Return the numbers of the selected candidates, with the SHA-256 of the model."""
    with tempfile.TemporaryDirectory(prefix="starlight-candidates-") as folder:
        root = Path(folder)
        with ProcessPoolExecutor(available_cores()) as pool:
            for kind, count in CANDIDATES.items():
                (root / FOLDERS[kind]).mkdir(parents=True)
                list(pool.map(write_candidate, [root] * count, [kind] * count, range(count), chunksize=16))
        found = _predictions(model, root)
    return {
        "model_sha256": model_sha256(model),
        "candidates": CANDIDATES,
        "clean": _first(found["clean"], CLEAN, _highest),
        "negatives": {category: _first(found[category], NEGATIVES, _highest) for category in CATEGORIES},
        "stego": {method: _hard_stego(found[method]) for method in METHODS},
    }


def write_candidate(root: Path, kind: str, number: int) -> None:
    """Generate one candidate below `root`: clean file, negative of a category, or stego file of a method."""
    if kind == "clean":
        carrier = clean_candidate(number)
        data, suffix = encode(carrier), extension(carrier)
    elif kind in CATEGORIES:
        negative = negative_candidate(kind, number)
        data, suffix = negative.data, negative.extension
    else:
        candidate = stego_candidate(cast(Method, kind), number)
        data = hide(candidate.rng, candidate.cover, candidate.embedding, candidate.message.framed)
        suffix = extension(candidate.cover)
    (root / FOLDERS[kind] / f"{number}.{suffix}").write_bytes(data)


def _predictions(model: Path, root: Path) -> dict[str, list[Prediction]]:
    """Return the predictions of the measured candidates by kind."""
    request = RunRequest(
        model=model.parent.name,
        role="research",
        model_path=model,
        decision=PRODUCTION,
        dataset="candidates",
        dataset_root=root,
        trigger="mining",
        latency_sample=0,
        threads=available_cores(),
    )
    kinds = {folder: kind for kind, folder in FOLDERS.items()}
    found: dict[str, list[Prediction]] = {kind: [] for kind in CANDIDATES}
    for prediction in evaluate(request).predictions:
        if prediction.probability is not None:
            found[kinds[str(Path(prediction.path).parent)]].append(prediction)
    return found


def _hard_stego(predictions: list[Prediction]) -> list[int]:
    lowest = _first(predictions, STEGO // 2, _lowest)
    others = [one for one in predictions if _number(one) not in lowest]
    return sorted([*lowest, *_first(others, STEGO - len(lowest), _nearest_to_threshold)])


def _first(predictions: list[Prediction], count: int, key: Callable[[Prediction], float]) -> list[int]:
    """Return the numbers of the first `count` predictions by `key`, in increasing order."""
    return sorted(_number(one) for one in sorted(predictions, key=lambda one: (key(one), _number(one)))[:count])


def _highest(prediction: Prediction) -> float:
    return -_logit(prediction.probability)


def _lowest(prediction: Prediction) -> float:
    return _logit(prediction.probability)


def _nearest_to_threshold(prediction: Prediction) -> float:
    threshold = PRODUCTION.threshold(prediction.predicted_method)
    return abs(_logit(prediction.probability) - _logit(threshold))


def _number(prediction: Prediction) -> int:
    return int(Path(prediction.path).stem)


def _logit(probability: float | None) -> float:
    if probability is None:
        raise ValueError("a prediction that was not measured has no logit")
    bounded = min(max(probability, SMALLEST_PROBABILITY), 1 - SMALLEST_PROBABILITY)
    return math.log(bounded / (1 - bounded))


if __name__ == "__main__":
    raise SystemExit(main())
