"""Search for shortcuts: rules on a single fact of a file."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from pydantic import TypeAdapter

from starlight_exporter.dataset.dataset import FileClass
from starlight_exporter.dataset.facts import FACTS, FactTable
from starlight_exporter.dataset.shortcuts import Shortcut, best_rule, find_shortcuts
from starlight_exporter.detector.contract import Method
from starlight_exporter.evaluation.request import RunRequest
from starlight_exporter.evaluation.results import Evaluation
from starlight_exporter.evaluation.run import evaluate
from starlight_exporter.publish.documents.data_quality import data_quality
from starlight_exporter.statistics.intervals import proportion
from support.models import write_constant_model


def gif(rng: np.random.Generator, *, grey: bool) -> bytes:
    image = Image.fromarray(rng.integers(0, 256, (24, 32), dtype=np.uint8)).convert("P")
    palette = rng.integers(0, 256, (256, 3), dtype=np.uint8)
    image.putpalette(np.repeat(palette[:, :1], 3, axis=1).tobytes() if grey else palette.tobytes())
    return encoded(image, "GIF")


def png(rng: np.random.Generator, *, exif: bool) -> bytes:
    image = Image.fromarray(rng.integers(0, 256, (rng.integers(12, 60), 32, 3), dtype=np.uint8))
    tags = Image.Exif()
    tags[0x010E] = "an image"
    return encoded(image, "PNG", **({"exif": tags} if exif else {}))


def encoded(image: Image.Image, name: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, name, **options)
    return file.getvalue()


@pytest.fixture(scope="module")
def dataset_with_shortcuts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset in which only stego GIFs have grey palettes, and no clean file has EXIF."""
    root, rng = tmp_path_factory.mktemp("dataset_with_shortcuts"), np.random.default_rng(4)
    for folder in ("clean", "stego/palette", "stego/exif", "stego/lsb"):
        (root / folder).mkdir(parents=True)
    for i in range(30):
        (root / "clean" / f"{i}.gif").write_bytes(gif(rng, grey=False))
        (root / "clean" / f"{i}.png").write_bytes(png(rng, exif=False))
        (root / "stego/palette" / f"{i}.gif").write_bytes(gif(rng, grey=True))
        (root / "stego/exif" / f"{i}.png").write_bytes(png(rng, exif=True))
        (root / "stego/lsb" / f"{i}.png").write_bytes(png(rng, exif=False))
    return root


def evaluated(make: Callable[..., RunRequest], folder: Path, root: Path) -> Evaluation:
    model = folder / "model.onnx"
    if not model.exists():
        write_constant_model(model, logit=4.0)
    return evaluate(make(model_path=model, dataset_root=root)).evaluation


def test_grey_palettes_of_stego_gifs_are_reported(
    tmp_path: Path, request_for: Callable[..., RunRequest], dataset_with_shortcuts: Path
) -> None:
    result = evaluated(request_for, tmp_path, dataset_with_shortcuts)
    assert set(result.shortcuts) == {"palette", "exif", "lsb"}
    palette = result.shortcuts["palette"]
    assert (palette.fact, palette.rule) == ("grey_palette", "grey_palette > 0.5")
    assert (palette.detected.count, palette.false_positives.count) == (30, 0)
    assert palette.is_fault
    # EXIF defines the method, and the LSB files are clean files by another name.
    assert not result.shortcuts["exif"].is_fault
    assert not result.shortcuts["lsb"].is_fault
    text = "\n\n".join(data_quality([result]))
    assert text.count("**shortcut**") == 1
    assert "`grey_palette > 0.5`" in text


@pytest.mark.slow
def test_generated_dataset_has_no_shortcut(
    tmp_path: Path, request_for: Callable[..., RunRequest], synthetic: Path
) -> None:
    result = evaluated(request_for, tmp_path, synthetic)
    assert len(result.shortcuts) == 5
    assert {method: one.rule for method, one in result.shortcuts.items() if one.is_fault} == {}


def test_best_rule_equals_that_of_an_exhaustive_search() -> None:
    rng = np.random.default_rng(8)
    for column in range(len(FACTS)):
        stego = np.round(rng.normal(0.5, 1.0, (40, len(FACTS))), 0)
        clean = np.round(rng.normal(0.0, 1.0, (250, len(FACTS))), 0)
        rule = best_rule(column, stego, clean)
        strongest = max(
            abs(np.mean(stego[:, column] > limit) - np.mean(clean[:, column] > limit))
            for limit in np.unique(np.concatenate([stego[:, column], clean[:, column]]))
        )
        assert rule.matches(stego) / 40 - rule.matches(clean) / 250 == pytest.approx(strongest)


def labels(method: Method, stego: int, clean: int) -> tuple[tuple[FileClass, Method | None], ...]:
    hidden: tuple[FileClass, Method | None] = ("stego", method)
    bare: tuple[FileClass, Method | None] = ("clean", None)
    return (hidden,) * stego + (bare,) * clean


def fact_table(stego: NDArray[np.float64], clean: NDArray[np.float64], *, method: Method = "lsb") -> FactTable:
    files = len(stego) + len(clean)
    return FactTable(labels(method, len(stego), len(clean)), ("png RGB",) * files, np.concatenate([stego, clean]))


def test_grey_palettes_at_2_percent_false_positives_are_reported() -> None:
    # The published dataset: all 78 palette stego files have a grey palette, and 2% of the clean palette files.
    rng = np.random.default_rng(0)
    stego, clean = rng.normal(size=(78, len(FACTS))), rng.normal(size=(200, len(FACTS)))
    grey = FACTS.index("grey_palette")
    stego[:, grey], clean[:, grey] = 1.0, np.arange(200) < 4
    found = find_shortcuts(fact_table(stego, clean, method="palette"))["palette"]
    assert (found.fact, found.is_fault) == ("grey_palette", True)
    assert found.p_value == 0.001


def test_weak_shortcut_is_significant() -> None:
    # 30% of the stego files and 1% of the clean files.
    rng = np.random.default_rng(1)
    stego, clean = rng.normal(size=(160, len(FACTS))), rng.normal(size=(1000, len(FACTS)))
    width = FACTS.index("width")
    stego[:, width], clean[:, width] = np.arange(160) < 48, np.arange(1000) < 10
    found = find_shortcuts(fact_table(stego, clean))["lsb"]
    assert (found.fact, found.significant, found.is_fault) == ("width", True, True)


def test_noise_is_rarely_significant() -> None:
    rng = np.random.default_rng(2)
    tables = [fact_table(rng.normal(size=(60, len(FACTS))), rng.normal(size=(120, len(FACTS)))) for _ in range(30)]
    significant = sum(find_shortcuts(table)["lsb"].significant for table in tables)
    # At most 1% are expected; more than 3 of 30 has a probability below 0.001.
    assert significant <= 3
    assert find_shortcuts(tables[0]) == find_shortcuts(tables[0])


def test_methods_are_compared_with_clean_files_of_the_same_carrier() -> None:
    # Only the carrier separates the files: every stego file is a GIF, and GIFs are larger.
    rng = np.random.default_rng(3)
    values = rng.normal(size=(300, len(FACTS)))
    size = FACTS.index("file_bytes")
    is_gif = np.arange(300) < 150
    values[:, size] += np.where(is_gif, 10.0, 0.0)
    carriers = tuple("gif P" if gif_file else "png RGB" for gif_file in is_gif)
    found = find_shortcuts(FactTable(labels("eoi", 50, 250), carriers, values))["eoi"]
    assert found.false_positives.total == 100
    assert not found.is_fault


def test_reads_shortcuts_stored_by_version_0_1_0() -> None:
    rate = proportion(1, 4)
    stored = {
        "fact": "lsb_commonest",
        "rule": "lsb_commonest > 0.7",
        "found": asdict(rate),
        "false_alarms": asdict(rate),
    }
    shortcut = TypeAdapter(Shortcut).validate_json(json.dumps(stored), strict=True)
    assert shortcut == Shortcut("lsb_most_frequent_byte", "lsb_most_frequent_byte > 0.7", rate, rate)


def test_shortcuts_of_too_few_files_are_not_measured() -> None:
    assert find_shortcuts(fact_table(np.zeros((500, len(FACTS))), np.zeros((9, len(FACTS))))) == {}
    assert find_shortcuts(fact_table(np.zeros((0, len(FACTS))), np.zeros((0, len(FACTS))))) == {}
