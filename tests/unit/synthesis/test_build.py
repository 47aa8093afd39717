"""Full datasets: deterministic by seed, never overwritten, never incomplete."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from starlight_exporter.dataset import layout
from starlight_exporter.detector import decoding
from starlight_exporter.errors import DatasetError
from starlight_exporter.synthesis.build import no_progress, synthesise
from starlight_exporter.synthesis.cover_sources import ProceduralCovers, find_covers
from starlight_exporter.synthesis.negatives import CATEGORIES
from starlight_exporter.synthesis.reference import ReferenceRecipe
from support.scripts import run_script


def contents(root: Path) -> dict[str, str]:
    return {
        path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(root.rglob("*"))
        if path.is_file()
    }


def make(
    out: Path,
    *,
    seed: int = 1,
    clean: int = 24,
    stego: int = 20,
    negatives: int = 20,
    covers: Path | None = None,
    workers: int = 1,
    progress: Callable[[int, int], None] = no_progress,
) -> bool:
    """Generate a small dataset."""
    source = ProceduralCovers() if covers is None else find_covers(covers)
    recipe = ReferenceRecipe(seed, clean, stego, negatives, source)
    return synthesise(out, recipe, workers=workers, progress=progress)


@pytest.mark.slow
def test_same_seed_gives_same_bytes_with_any_number_of_workers(tmp_path: Path) -> None:
    for workers in (1, 3):
        make(tmp_path / str(workers), workers=workers)
    make(tmp_path / "other", seed=2)
    first = contents(tmp_path / "1")
    # 24 clean files, 20 stego files with sidecars, 20 negatives, the manifest.
    assert len(first) == 24 + 40 + 20 + 1
    assert contents(tmp_path / "3") == first
    other = contents(tmp_path / "other")
    assert not {digest for path, digest in first.items() if path.startswith("clean/")} & set(other.values())


@pytest.mark.slow
def test_larger_part_does_not_change_other_files(tmp_path: Path) -> None:
    make(tmp_path / "few", clean=0, stego=10, negatives=5)
    make(tmp_path / "many", clean=0, stego=15, negatives=5)
    few, many = contents(tmp_path / "few"), contents(tmp_path / "many")
    del few["dataset.json"]
    assert few.items() <= many.items()


def test_progress_ends_at_all_files(tmp_path: Path) -> None:
    seen: list[tuple[int, int]] = []
    make(tmp_path / "d", clean=20, stego=0, negatives=0, progress=lambda d, t: seen.append((d, t)))
    assert seen[0] == (0, 20)
    assert seen[-1] == (20, 20)
    assert seen == sorted(seen)


@pytest.mark.slow
def test_existing_dataset_is_not_generated_again(tmp_path: Path) -> None:
    out = tmp_path / "d"
    assert make(out) is True
    before = {path: path.stat().st_mtime_ns for path in out.rglob("*")}
    assert make(out, workers=2) is False
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*")} == before
    assert [path.name for path in tmp_path.iterdir()] == ["d"]


@pytest.mark.slow
def test_rejects_folder_with_other_content(tmp_path: Path) -> None:
    out = tmp_path / "d"
    out.mkdir()
    (out / "mine.txt").write_text("x")
    with pytest.raises(DatasetError, match="is not empty and contains no generated dataset"):
        make(out)
    (out / "mine.txt").unlink()
    assert make(out) is True
    with pytest.raises(DatasetError, match="generated with other parameters"):
        make(out, seed=7)
    with pytest.raises(DatasetError, match="generated with other parameters"):
        make(out, clean=25)
    next((out / "clean").iterdir()).unlink()
    with pytest.raises(DatasetError, match="have changed since it was generated"):
        make(out)
    (out / "dataset.json").write_text("[]")
    with pytest.raises(DatasetError, match="not the manifest of a generated dataset"):
        make(out)


@pytest.mark.slow
def test_interrupted_run_leaves_no_files(tmp_path: Path) -> None:
    def stop(done: int, total: int) -> None:
        if 0 < done < total:
            raise KeyboardInterrupt

    for workers in (1, 2):
        with pytest.raises(KeyboardInterrupt):
            make(tmp_path / "d", workers=workers, progress=stop)
        assert list(tmp_path.iterdir()) == []


def test_reports_unwritable_output(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(DatasetError, match="cannot be written: "):
        make(tmp_path / "file" / "d")
    with pytest.raises(DatasetError, match="is a file, not a folder"):
        make(tmp_path / "file")


@pytest.mark.parametrize(
    ("numbers", "text"),
    [
        ((-1, 1, 1, 1, 1), "seed must not be negative: -1"),
        ((1, -5, 1, 1, 1), "clean must not be negative: -5"),
        ((1, 0, 0, 0, 1), "at least one file"),
        ((1, 1, 1, 1, 0), "workers must be at least 1"),
    ],
)
def test_rejects_invalid_counts(tmp_path: Path, numbers: tuple[int, int, int, int, int], text: str) -> None:
    seed, clean, stego, negatives, workers = numbers
    with pytest.raises(DatasetError, match=text):
        make(tmp_path / "d", seed=seed, clean=clean, stego=stego, negatives=negatives, workers=workers)


@pytest.mark.slow
def test_negatives_of_all_five_categories_decode(synthetic: Path) -> None:
    found = [file for file in layout.scan("x", synthetic).files if file.file_class == "negative"]
    assert {file.category for file in found} == set(CATEGORIES)
    seen = set()
    depths = set()
    for file in found:
        data = (synthetic / file.path).read_bytes()
        image = decoding.decode(data)
        seen.add((file.category, image.mode))
        if file.category == "special_cases" and image.image_format == "png":
            depths.add(data[24])
        if file.category == "rgb_no_alpha":
            assert image.mode == "RGB"
        if file.category == "uniform_alpha":
            with Image.open(synthetic / file.path) as opened:
                assert opened.mode == "RGBA"
                assert np.ptp(np.asarray(opened.getchannel("A"))) == 0
    special = {mode for category, mode in seen if category == "special_cases"}
    assert {"RGB", "P", "LA", "CMYK", "1"} <= special
    assert {8, 16} <= depths


@pytest.mark.slow
def test_clean_files_vary_in_size_and_mode(synthetic: Path) -> None:
    sizes, modes = [], set()
    for path in (synthetic / "clean").iterdir():
        with Image.open(path) as image:
            sizes.append(image.size)
            modes.add((image.format, image.mode))
    square = sum(size == (256, 256) for size in sizes) / len(sizes)
    assert 0.68 < square < 0.82
    assert all(64 <= side <= 320 for size in sizes for side in size)
    assert any(width % 8 for width, _ in sizes)
    assert {("JPEG", "RGB"), ("JPEG", "L"), ("PNG", "RGB"), ("PNG", "RGBA"), ("PNG", "P"), ("PNG", "L")} <= modes
    assert {("GIF", "P"), ("WEBP", "RGB"), ("WEBP", "RGBA"), ("BMP", "RGB"), ("BMP", "P"), ("BMP", "L")} <= modes


@pytest.fixture
def cover_files(tmp_path: Path) -> Path:
    folder = tmp_path / "covers"
    (folder / "deep").mkdir(parents=True)
    rng = np.random.default_rng(5)
    shapes = {
        "a.png": (120, 90, 3),
        "b.jpg": (70, 200, 3),
        "deep/c.webp": (64, 64, 4),
        "d.gif": (20, 30),
        "e.png": (1200, 80, 3),
    }
    for name, shape in shapes.items():
        Image.fromarray(rng.integers(0, 256, shape, dtype=np.uint8)).save(folder / name)
    Image.fromarray(rng.integers(0, 65536, (80, 80), dtype=np.uint16)).save(folder / "deep.png")
    (folder / "broken.png").write_bytes((folder / "a.png").read_bytes()[:300])
    (folder / "copy.png").write_bytes((folder / "a.png").read_bytes())
    (folder / "notes.txt").write_text("not a cover")
    return folder


@pytest.mark.slow
def test_cover_files_keep_their_size(tmp_path: Path, cover_files: Path) -> None:
    make(tmp_path / "one", covers=cover_files)
    make(tmp_path / "two", covers=cover_files, workers=2)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    sizes = set()
    for part in ("clean", "stego"):
        for path in (tmp_path / "one" / part).iterdir():
            if path.suffix != ".json":
                with Image.open(path) as image:
                    sizes.add(image.size)
    assert {(90, 120), (200, 70), (64, 64), (68, 1024), (80, 80)} <= sizes
    found = layout.scan("x", tmp_path / "one")
    assert [file.problem for file in found.files if file.problem] == []


def test_different_cover_files_are_different_parameters(tmp_path: Path, cover_files: Path) -> None:
    make(tmp_path / "d", covers=cover_files)
    assert make(tmp_path / "d", covers=cover_files) is False
    (cover_files / "d.gif").unlink()
    with pytest.raises(DatasetError, match="other parameters"):
        make(tmp_path / "d", covers=cover_files)


@pytest.mark.parametrize("content", [None, "empty", "no image"])
def test_reports_missing_or_unusable_covers(tmp_path: Path, content: str | None) -> None:
    covers = tmp_path / "covers"
    if content is not None:
        covers.mkdir()
    if content == "no image":
        (covers / "a.png").write_bytes(b"no image")
    with pytest.raises(DatasetError, match="covers"):
        make(tmp_path / "d", covers=covers)
    assert not (tmp_path / "d").exists()


@pytest.mark.slow
def test_reports_killed_worker_and_leaves_no_files(tmp_path: Path) -> None:
    def kill_workers(done: int, _total: int) -> None:
        for worker in multiprocessing.active_children() if done else ():
            worker.kill()

    with pytest.raises(DatasetError, match=f"^{tmp_path / 'd'}: a worker process ended"):
        make(tmp_path / "d", clean=400, workers=2, progress=kill_workers)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_script_generates_dataset_once(tmp_path: Path) -> None:
    flags = (
        "--out",
        str(tmp_path / "d"),
        "--seed",
        "4",
        "--clean",
        "5",
        "--stego",
        "5",
        "--negatives",
        "5",
        "--workers",
        "2",
    )
    first = run_script("make_dataset.py", *flags)
    assert (first.returncode, first.stdout) == (0, f"{tmp_path / 'd'}: created\n")
    assert "15/15" in first.stderr
    assert json.loads((tmp_path / "d/dataset.json").read_text())["parameters"]["seed"] == 4
    again = run_script("make_dataset.py", *flags)
    assert (again.returncode, again.stdout) == (0, f"{tmp_path / 'd'}: already contains exactly this dataset\n")


def test_script_reports_error_in_one_line_and_exits_with_2(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("x")
    done = run_script("make_dataset.py", "--out", str(tmp_path))
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == (
        f"make_dataset: {tmp_path}: is not empty and contains no generated dataset; choose another folder\n"
    )


@pytest.mark.parametrize(
    ("flags", "text"),
    [
        (("--recipe", "payloads", "--clean", "5"), "--clean applies to the recipe reference only"),
        (("--recipe", "sizes", "--negatives", "0"), "--negatives applies to the recipe reference only"),
        (("--recipe", "adversarial", "--seed", "1"), "--seed does not apply to the recipe adversarial"),
    ],
)
def test_script_rejects_flags_of_other_recipes(tmp_path: Path, flags: tuple[str, ...], text: str) -> None:
    done = run_script("make_dataset.py", "--out", str(tmp_path / "d"), *flags)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"make_dataset: {text}")
    assert not (tmp_path / "d").exists()
