"""Shortcuts, leakage and cover-source mismatch: seen where they were planted, and not where there is none."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pydantic import TypeAdapter

from starlight_exporter.analysis.source_gaps import dataset_gaps, format_gaps
from starlight_exporter.dataset.dataset import FileClass
from starlight_exporter.dataset.facts import FACTS, FactTable
from starlight_exporter.dataset.layout import scan
from starlight_exporter.dataset.shortcuts import Shortcut, best_rule, find_shortcuts
from starlight_exporter.detector.contract import Method
from starlight_exporter.errors import StorageError
from starlight_exporter.evaluation.request import RunRequest
from starlight_exporter.evaluation.results import Evaluation
from starlight_exporter.evaluation.run import evaluate
from starlight_exporter.models.training_files import MANIFEST_NAME, leaked_images, manifest_text, read_manifest
from starlight_exporter.publish.documents.data_quality import data_quality
from starlight_exporter.statistics.intervals import proportion
from support.models import write_constant_model
from support.results import empty_evaluation

SCRIPT = Path(__file__).resolve().parents[3] / "scripts" / "hash_dataset.py"


def gif(rng: np.random.Generator, *, grey: bool) -> bytes:
    image = Image.fromarray(rng.integers(0, 256, (24, 32), dtype=np.uint8)).convert("P")
    palette = rng.integers(0, 256, (256, 3), dtype=np.uint8)
    image.putpalette(np.repeat(palette[:, :1], 3, axis=1).tobytes() if grey else palette.tobytes())
    return encoded(image, "GIF")


def png(rng: np.random.Generator, *, exif: bool) -> bytes:
    image = Image.fromarray(rng.integers(0, 256, (rng.integers(12, 60), 32, 3), dtype=np.uint8))
    tags = Image.Exif()
    tags[0x010E] = "a picture"
    return encoded(image, "PNG", **({"exif": tags} if exif else {}))


def encoded(image: Image.Image, name: str, **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, name, **options)
    return file.getvalue()


@pytest.fixture(scope="module")
def ridden(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A dataset whose stego GIFs alone have grey palettes, and where no clean file has EXIF."""
    root, rng = tmp_path_factory.mktemp("ridden"), np.random.default_rng(4)
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


def test_planted_shortcuts_are_found_and_named(
    tmp_path: Path, request_for: Callable[..., RunRequest], ridden: Path
) -> None:
    result = evaluated(request_for, tmp_path, ridden)
    assert set(result.shortcuts) == {"palette", "exif", "lsb"}
    palette, exif, lsb = (result.shortcuts[method] for method in ("palette", "exif", "lsb"))
    assert (palette.detected.ratio, palette.fact) == (1.0, "grey_palette")
    assert (exif.detected.ratio, exif.fact) == (1.0, "exif_bytes")
    assert palette.false_positives.count == exif.false_positives.count == 0
    # These are clean files by another name: nothing tells them apart, and the rule that seems to is held out.
    assert lsb.detected.upper is not None
    assert lsb.detected.upper < 0.35
    text = "\n\n".join(data_quality([result]))
    assert text.count("**shortcut**") == 2
    assert "`grey_palette > 0.5`" in text


def test_our_own_reference_data_has_no_such_shortcut(
    tmp_path: Path, request_for: Callable[..., RunRequest], synthetic: Path
) -> None:
    result = evaluated(request_for, tmp_path, synthetic)
    assert len(result.shortcuts) == 5
    for method, shortcut in result.shortcuts.items():
        print(f"{method}: {shortcut.rule}: {shortcut.detected}, false alarms {shortcut.false_positives}")
        assert shortcut.detected.ratio is not None
        assert shortcut.detected.ratio < 0.5, method


def test_the_rule_is_the_best_of_an_exhaustive_search() -> None:
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


def test_noise_is_found_no_more_often_than_it_raises_false_alarms() -> None:
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


def test_too_few_files_are_not_measured() -> None:
    labels = labelled(clean=9, lsb=500)
    assert find_shortcuts(FactTable(labels, np.zeros((509, len(FACTS))))) == {}
    assert find_shortcuts(FactTable((), np.zeros((0, len(FACTS))))) == {}


def test_files_seen_in_training_are_counted(
    tmp_path: Path, request_for: Callable[..., RunRequest], ridden: Path
) -> None:
    assert evaluated(request_for, tmp_path, ridden).leaked_images is None
    training = tmp_path / "training"
    (training / "clean").mkdir(parents=True)
    for i in range(7):
        (training / "clean" / f"copy{i}.gif").write_bytes((ridden / "clean" / f"{i}.gif").read_bytes())
    (training / "clean" / "other.gif").write_bytes(gif(np.random.default_rng(99), grey=False))
    command = [sys.executable, str(SCRIPT), str(training), "--model", str(tmp_path / "model.onnx")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "8 distinct files" in done.stdout
    assert evaluated(request_for, tmp_path, ridden).leaked_images == 7
    (tmp_path / MANIFEST_NAME).write_text("not a hash\n")
    broken = evaluate(request_for(model_path=tmp_path / "model.onnx", dataset_root=ridden))
    assert broken.evaluation.leaked_images is None
    assert any("training_files.sha256:1: expected 16 hexadecimal digits" in warning for warning in broken.warnings)


def test_a_manifest_is_read_back_and_a_bad_one_refused(tmp_path: Path, ridden: Path) -> None:
    files = scan("ridden", ridden).files
    path = tmp_path / MANIFEST_NAME
    path.write_text(manifest_text(files))
    assert leaked_images(files, read_manifest(path)) == len(files)
    assert leaked_images(files[:5], read_manifest(path)) == 5
    path.write_text(manifest_text([]))
    assert leaked_images(files, read_manifest(path)) == 0
    with pytest.raises(StorageError, match="gone: cannot be read"):
        read_manifest(tmp_path / "gone")


def test_hashing_a_folder_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    command = [sys.executable, str(SCRIPT), str(tmp_path / "gone"), "--model", str(tmp_path / "model.onnx")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1


def test_gaps_are_of_one_model_over_formats_and_datasets() -> None:
    base = empty_evaluation(
        clean=proportion(12, 2000),
        clean_by_format={"png": proportion(12, 1000), "gif": proportion(0, 1000), "bmp": proportion(0, 0)},
        detections={**empty_evaluation().detections, "lsb": proportion(90, 100)},
    )
    png_gap, gif_gap = format_gaps(base)
    assert png_gap.image_format == "png"
    assert png_gap.difference == pytest.approx(0.012)
    assert gif_gap.difference == -png_gap.difference
    assert png_gap.p_value == gif_gap.p_value < 0.001
    assert png_gap.lower > 0
    other = replace(
        base,
        dataset="field",
        provenance=replace(base.provenance, dataset_fingerprint="d" * 64),
        detections={**base.detections, "lsb": proportion(50, 100)},
    )
    another_model = replace(other, provenance=replace(other.provenance, model_sha256="e" * 64))
    gaps = {(gap.dataset, gap.rate): gap for gap in dataset_gaps([base, other])}
    assert set(gaps) == {(name, rate) for name in ("reference", "field") for rate in ("false_positive", "lsb")}
    assert gaps["field", "lsb"].difference == pytest.approx(-0.4)
    assert gaps["field", "false_positive"].difference == 0
    assert dataset_gaps([base, another_model]) == dataset_gaps([base]) == ()
    copy = replace(other, dataset="field again")
    assert [gap.elsewhere for gap in dataset_gaps([base, other, copy])] == [
        *(gaps["reference", rate].elsewhere for rate in ("false_positive", "lsb")),
        *2 * [gaps["field", rate].elsewhere for rate in ("false_positive", "lsb")],
    ]
    text = "\n\n".join(data_quality([base, other]))
    assert "| production on field | detection, lsb | 50 of 100 | 90 of 100 | -40.00 pp (95% CI " in text
    assert text.count("**significant**") == 6


def test_without_anything_the_section_says_so() -> None:
    assert "\n\n".join(data_quality([])).count("Not measured.") == 3
