"""The recipes besides `reference`: labelled in full, deterministic, and as small as the shipped stack needs."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from stack.datasets import DATASETS, REFERENCE_COUNTS
from starlight_exporter.dataset import layout
from starlight_exporter.detector.contract import METHODS
from starlight_exporter.errors import DatasetError
from starlight_exporter.synthesis.adversarial_recipe import AdversarialRecipe, MinedSeeds, read_mined_seeds
from starlight_exporter.synthesis.build import synthesise
from starlight_exporter.synthesis.cover_sources import CoverFiles, ProceduralCovers, find_covers
from starlight_exporter.synthesis.names import NAMES
from starlight_exporter.synthesis.negatives import CATEGORIES
from starlight_exporter.synthesis.payload_recipe import MESSAGES_PER_COVER, size_grid
from starlight_exporter.synthesis.recipe import Recipe
from starlight_exporter.synthesis.recipes import recipe_of_fixed_size
from starlight_exporter.synthesis.size_recipe import COVERS_BY_SIDE
from starlight_exporter.synthesis.source_recipe import SOURCES

ROOT = Path(__file__).resolve().parents[3]
FIXED = NAMES[1:]
SOME = {name: slice(-40, None, 3) for name in FIXED} | {"adversarial": slice(40, None, 17)}
"""Tasks that take little time and have all methods: the large images of `sizes` are its first."""


def recipe(name: str, *, seed: int = 3) -> Recipe:
    return recipe_of_fixed_size(name, seed=seed, covers=ProceduralCovers())


def write(recipe: Recipe, root: Path, tasks: list[int]) -> Path:
    for folder in recipe.folders:
        (root / folder).mkdir(parents=True)
    for task in tasks:
        recipe.write(task, root)
    return root


def contents(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.mark.slow
@pytest.mark.parametrize("name", FIXED)
def test_files_are_labelled_in_full(tmp_path: Path, name: str) -> None:
    made = recipe(name)
    tasks = list(range(len(made.sizes)))[SOME[name]]
    found = layout.scan(name, write(made, tmp_path / name, tasks)).files
    assert [file.problem for file in found if file.problem] == []
    assert len(found) == sum(made.sizes[task] for task in tasks)
    clean = {file.path for file in found if file.file_class == "clean"}
    stego = [file for file in found if file.file_class == "stego"]
    assert {file.method for file in stego} == set(METHODS)
    for file in stego:
        assert file.cover in clean
        assert file.payload_bytes is not None
        sidecar = json.loads((tmp_path / name / f"{file.path}.json").read_text())
        assert str(file.cover).startswith(f"clean/{sidecar['source']}/")
        assert ("reaches_crop" in sidecar) == (file.method in ("alpha", "palette", "lsb"))
    if name == "adversarial":
        return
    assert not [file for file in found if file.file_class == "negative"]


@pytest.mark.slow
@pytest.mark.parametrize("name", FIXED)
def test_tasks_give_the_same_bytes_again(tmp_path: Path, name: str) -> None:
    tasks = list(range(len(recipe(name).sizes)))[-5:]
    first = contents(write(recipe(name), tmp_path / "first", tasks))
    assert contents(write(recipe(name), tmp_path / "second", tasks)) == first
    if name != "adversarial":
        other = contents(write(recipe(name, seed=4), tmp_path / "other", tasks))
        assert not {data for path, data in other.items() if path.startswith("clean/")} & set(first.values())


def test_all_datasets_together_have_less_than_5000_images() -> None:
    assert set(DATASETS) == set(NAMES)
    fixed = {name: sum(recipe(name).sizes) for name in FIXED}
    assert all(count >= 500 for count in fixed.values()), fixed
    assert sum(fixed.values()) + sum(REFERENCE_COUNTS.values()) - REFERENCE_COUNTS["seed"] < 5000


def test_recipes_have_enough_clean_images_for_a_false_alarm_rate_of_one_percent() -> None:
    for name, stego in (("payloads", MESSAGES_PER_COVER), ("sizes", 2)):
        assert sum(size - stego for size in recipe(name).sizes) >= 200
    assert len(recipe("sources").sizes) >= 200
    assert sum(size == 2 for size in recipe("adversarial").sizes) >= 200


def test_size_grid_is_logarithmic_and_ends_at_the_capacity() -> None:
    assert size_grid(8192) == (8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192)
    assert size_grid(24_576)[-2:] == (16_384, 24_576)


@pytest.mark.slow
def test_payloads_reach_the_capacity_and_miss_the_crop(tmp_path: Path) -> None:
    made = recipe("payloads")
    root = write(made, tmp_path / "payloads", list(range(30)))
    sidecars = [json.loads(path.read_text()) for path in (root / "stego").glob("*.json")]
    embeddings = [one["embedding"] for one in sidecars]
    assert {one["operation"] for one in embeddings} >= {"replacement", "matching"}
    assert {one["placement"] for one in embeddings} >= {"sequential", "scattered"}
    assert len({one["framing"] for one in embeddings}) >= 5
    assert {one["reaches_crop"] for one in sidecars if "reaches_crop" in one} == {True, False}
    assert min(one["payload_bytes"] for one in sidecars) <= 8
    lsb = [one["payload_bytes"] for one in sidecars if one["embedding"]["technique"] == "lsb.rgb"]
    assert max(lsb) > 20_000


@pytest.mark.slow
def test_sizes_have_the_stated_longer_side(tmp_path: Path) -> None:
    made = recipe("sizes")
    root = write(made, tmp_path / "sizes", list(range(len(made.sizes)))[60::6])
    sides = set()
    for path in (root / "clean" / "procedural").iterdir():
        with Image.open(path) as image:
            sides.add(max(image.size))
    assert sides == {side for side in COVERS_BY_SIDE if side <= 384}
    assert (max(COVERS_BY_SIDE), min(COVERS_BY_SIDE)) == (4096, 32)


@pytest.mark.slow
def test_sources_are_the_folders_of_clean_files(tmp_path: Path) -> None:
    root = write(recipe("sources"), tmp_path / "sources", list(range(28)))
    count = Counter(path.parent.name for path in (root / "clean").rglob("*") if path.is_file())
    assert count == dict.fromkeys(("procedural", *list(SOURCES)[1:]), 4)
    for path in (root / "clean" / "palette").iterdir():
        with Image.open(path) as image:
            assert image.mode == "P"
    with_exif = []
    for path in (root / "clean" / "phone").iterdir():
        with Image.open(path) as image:
            image.load()
            with_exif.append(len(image.info["exif"]))
    assert min(with_exif) > 1500


@pytest.mark.slow
def test_own_photographs_are_covers_of_every_seeded_recipe(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    rng = np.random.default_rng(1)
    for number, shape in enumerate(((300, 400, 3), (512, 512, 3), (100, 90, 3))):
        Image.fromarray(rng.integers(0, 256, shape, dtype=np.uint8)).save(tmp_path / "photos" / f"{number}.png")
    covers = find_covers(tmp_path / "photos")
    assert isinstance(covers, CoverFiles)
    for name in ("payloads", "sizes", "sources"):
        made = recipe_of_fixed_size(name, seed=1, covers=covers)
        tasks = list(range(len(made.sizes)))[-14:]
        found = layout.scan(name, write(made, tmp_path / name, tasks)).files
        assert [file.problem for file in found if file.problem] == []
        assert "clean/files" in {str(Path(file.path).parent) for file in found}
        assert made.parameters["covers"] == covers.digest
    with pytest.raises(DatasetError, match="covers of its own"):
        recipe_of_fixed_size("adversarial", seed=0, covers=covers)


def test_covers_of_a_size_have_exactly_this_size(tmp_path: Path) -> None:
    Image.new("RGB", (80, 120), (9, 9, 9)).save(tmp_path / "a.png")
    for source in (ProceduralCovers(), find_covers(tmp_path)):
        for width, height in ((33, 40), (80, 120), (121, 119), (200, 64)):
            assert source.sized(np.random.default_rng(1), 0, width, height).shape == (height, width, 3)


def test_negative_seed_is_rejected() -> None:
    with pytest.raises(DatasetError, match="seed must not be negative: -1"):
        recipe_of_fixed_size("sizes", seed=-1, covers=ProceduralCovers())


def test_adversarial_files_were_mined_against_the_shipped_model() -> None:
    card = yaml.safe_load((ROOT / "models" / "v4" / "card.yml").read_text())
    seeds = read_mined_seeds()
    assert seeds.model_sha256 == card["sha256"]
    assert set(seeds.stego) == set(METHODS)
    assert set(seeds.negatives) == set(CATEGORIES)
    for numbers in (seeds.clean, *seeds.negatives.values(), *seeds.stego.values()):
        assert len(set(numbers)) == len(numbers) > 0


@pytest.mark.slow
def test_adversarial_dataset_is_generated_by_any_number_of_workers(tmp_path: Path) -> None:
    seeds = MinedSeeds("0" * 64, (3, 1), dict.fromkeys(CATEGORIES, (0,)), dict.fromkeys(METHODS, (2,)))
    made = AdversarialRecipe(seeds)
    assert synthesise(tmp_path / "one", made, workers=1)
    assert synthesise(tmp_path / "two", made, workers=2)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    assert json.loads((tmp_path / "one" / "dataset.json").read_text())["parameters"] == {
        "generator": 3,
        "recipe": "adversarial",
        "mined_against": "0" * 64,
    }
