"""Search for shortcuts: rules on a single fact of a file."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
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


def test_finds_planted_shortcuts(
    tmp_path: Path, request_for: Callable[..., RunRequest], dataset_with_shortcuts: Path
) -> None:
    result = evaluated(request_for, tmp_path, dataset_with_shortcuts)
    assert set(result.shortcuts) == {"palette", "exif", "lsb"}
    palette, exif, lsb = (result.shortcuts[method] for method in ("palette", "exif", "lsb"))
    assert (palette.detected.ratio, palette.fact) == (1.0, "grey_palette")
    assert (exif.detected.ratio, exif.fact) == (1.0, "exif_bytes")
    assert palette.false_positives.count == exif.false_positives.count == 0
    # These have the same distribution as clean files, so cross-validation must not find a rule.
    assert lsb.detected.upper is not None
    assert lsb.detected.upper < 0.35
    text = "\n\n".join(data_quality([result]))
    assert text.count("**shortcut**") == 2
    assert "`grey_palette > 0.5`" in text


@pytest.mark.slow
def test_synthetic_data_has_no_shortcut(
    tmp_path: Path, request_for: Callable[..., RunRequest], synthetic: Path
) -> None:
    result = evaluated(request_for, tmp_path, synthetic)
    assert len(result.shortcuts) == 5
    for method, shortcut in result.shortcuts.items():
        print(f"{method}: {shortcut.rule}: {shortcut.detected}, false alarms {shortcut.false_positives}")
        assert shortcut.detected.ratio is not None
        assert shortcut.detected.ratio < 0.5, method


def test_best_rule_equals_that_of_an_exhaustive_search() -> None:
    rng = np.random.default_rng(8)
    for _ in range(20):
        stego = np.round(rng.normal(0.5, 1.0, (40, len(FACTS))), 1)
        clean = np.round(rng.normal(0.0, 1.0, (250, len(FACTS))), 1)
        rule = best_rule(stego, clean)
        assert rule.matches(clean) <= 2
        most = max(
            np.count_nonzero(sign * stego[:, column] > limit)
            for column in range(len(FACTS))
            for sign in (1, -1)
            for limit in np.unique(sign * clean[:, column])
            if np.count_nonzero(sign * clean[:, column] > limit) <= 2
        )
        assert rule.matches(stego) == most


def labelled(*, clean: int, lsb: int) -> tuple[tuple[FileClass, Method | None], ...]:
    bare: tuple[FileClass, Method | None] = ("clean", None)
    hiding: tuple[FileClass, Method | None] = ("stego", "lsb")
    return (bare,) * clean + (hiding,) * lsb


def test_noise_is_not_a_shortcut() -> None:
    rng = np.random.default_rng(2)
    labels = labelled(clean=500, lsb=500)
    table = FactTable(labels, rng.normal(size=(1000, len(FACTS))))
    shortcut = find_shortcuts(table)["lsb"]
    assert shortcut.detected.count < 30
    assert shortcut.false_positives.count < 30
    assert find_shortcuts(table) == find_shortcuts(table)


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
    labels = labelled(clean=9, lsb=500)
    assert find_shortcuts(FactTable(labels, np.zeros((509, len(FACTS))))) == {}
    assert find_shortcuts(FactTable((), np.zeros((0, len(FACTS))))) == {}
