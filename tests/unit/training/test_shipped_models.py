"""The models in `models/` match their cards. Needs no PyTorch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from stack.datasets import REFERENCE_COUNTS
from starlight_exporter.dataset import layout
from starlight_exporter.dataset.dataset import LabelledFile
from starlight_exporter.detector.contract import METHODS
from starlight_exporter.detector.decision import PRODUCTION
from starlight_exporter.detector.decoding import decode
from starlight_exporter.detector.model import Detector
from starlight_exporter.detector.model_file import model_sha256
from starlight_exporter.detector.streams import tensors
from starlight_exporter.models.cards import model_in, read_card
from starlight_exporter.models.training_files import Manifest, leaked_images, read_manifest
from starlight_exporter.models.training_log import read_training_log
from starlight_exporter.synthesis.reference import ReferenceRecipe
from support.run_cache import RunCache
from support.training_files import prefixes
from training.card import card_markdown, index_markdown
from training.variants import MAX_MODEL_BYTES, OUTPUTS

pytestmark = pytest.mark.slow

MODELS = Path(__file__).resolve().parents[3] / "models"
SHIPPED = sorted(path.parent.name for path in MODELS.glob("*/card.yml"))


def test_reference_models_exist() -> None:
    assert {"v3", "v4"} <= set(SHIPPED)


@pytest.mark.parametrize("name", SHIPPED)
def test_card_describes_model_file(name: str) -> None:
    folder = MODELS / name
    card, detector = read_card(folder), Detector.load(folder / "model.onnx")
    assert card["name"] == name
    assert card["sha256"] == detector.sha256
    assert card["size_bytes"] == detector.size_bytes <= MAX_MODEL_BYTES
    assert tuple(card["inputs"]) == detector.input_names
    assert tuple(card["outputs"]) == detector.output_names == OUTPUTS
    assert set(card["streams"]) == detector.streams
    assert card["decision"] == PRODUCTION.describe()
    assert (folder / "README.md").read_text(encoding="utf-8") == card_markdown(card)
    assert {path.name for path in folder.iterdir()} == {
        "README.md",
        "card.yml",
        "model.onnx",
        "training_log.jsonl",
    }


def shared_manifest(name: str) -> Manifest:
    path = model_in(MODELS / name).training_files
    assert path == MODELS / "training_files.sha256"
    return read_manifest(path)


def every_nth_file(root: Path, parameters: Mapping[str, int], *, every: int) -> tuple[LabelledFile, ...]:
    """Generate every n-th file of a dataset; each depends only on the seed and its index."""
    recipe = ReferenceRecipe(parameters["seed"], parameters["clean"], parameters["stego"], parameters["negatives"])
    for folder in recipe.folders:
        (root / folder).mkdir(parents=True)
    for task in range(0, len(recipe.sizes), every):
        recipe.write(task, root)
    return layout.scan(root.name, root).files


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> tuple[LabelledFile, ...]:
    return every_nth_file(tmp_path_factory.mktemp("reference"), REFERENCE_COUNTS, every=19)


@pytest.mark.slow
@pytest.mark.parametrize("name", SHIPPED)
def test_reference_data_has_no_training_files(name: str, reference: tuple[LabelledFile, ...]) -> None:
    manifest = shared_manifest(name)
    assert len(manifest) > 0.9 * read_card(MODELS / name)["training"]["images"]
    assert len(reference) == 106
    assert leaked_images(prefixes(reference), manifest) == 0


@pytest.mark.slow
@pytest.mark.parametrize("name", ["v3", "v4"])
def test_detects_training_files(name: str, tmp_path: Path) -> None:
    manifest = shared_manifest(name)
    for number, parameters in enumerate(read_card(MODELS / name)["training"]["datasets"]):
        files = every_nth_file(tmp_path / str(number), parameters, every=599)
        assert leaked_images(prefixes(files), manifest) == len(files) >= 10


@pytest.mark.parametrize("name", SHIPPED)
def test_training_log_matches_card(name: str) -> None:
    card, log = read_card(MODELS / name), read_training_log(MODELS / name / "training_log.jsonl")
    assert len(log.epochs) == card["training"]["epochs"]
    assert log.epochs[-1].validation_loss == card["training"]["last_epoch"]["validation_loss"]
    assert log.epochs[-1].validation_loss < log.epochs[0].validation_loss  # type: ignore[operator]


def test_index_is_generated_from_cards() -> None:
    assert (MODELS / "README.md").read_text(encoding="utf-8") == index_markdown(
        [read_card(MODELS / name) for name in SHIPPED]
    )


def test_production_model_is_v4() -> None:
    assert model_sha256(MODELS / "production" / "model.onnx") == model_sha256(MODELS / "v4" / "model.onnx")


@pytest.fixture(scope="module")
def folder(run_cache: RunCache) -> Path:
    return run_cache.synthetic(seed=314, clean=120, stego=50, negatives=30)


@pytest.mark.parametrize("name", SHIPPED)
def test_score_is_independent_of_the_batch(name: str, folder: Path) -> None:
    detector = Detector.load(MODELS / name / "model.onnx")
    images = [tensors(decode(path.read_bytes())) for path in sorted((folder / "clean").iterdir())[:7]]
    batched = detector.predict(images)
    single = [detector.predict([image])[0] for image in images]
    np.testing.assert_allclose(
        [score.probability for score in batched], [score.probability for score in single], rtol=1e-4, atol=1e-6
    )
    assert [score.predicted for score in batched] == [score.predicted for score in single]


@pytest.mark.parametrize("name", SHIPPED)
def test_rates_on_unseen_data_match_card(name: str, folder: Path) -> None:
    detector = Detector.load(MODELS / name / "model.onnx")
    measured = read_card(MODELS / name)["measured"][0]
    found = {method: [0, 0] for method in METHODS}
    false_positives = [0, 0]
    for file in layout.scan("unseen", folder).files:
        score = detector.predict([tensors(decode((folder / file.path).read_bytes()))])[0]
        tally = false_positives if file.method is None else found[file.method]
        tally[0] += PRODUCTION.verdict(score.probability, score.predicted)
        tally[1] += 1
    # A wide margin around the interval of the card, because there are only ten files per method.
    assert false_positives[0] <= 2, false_positives
    for method, (count, total) in found.items():
        rate = measured["detections"][method]
        assert total == 10
        assert rate["lower"] - 0.35 <= count / total <= rate["upper"] + 0.35, (method, count)
