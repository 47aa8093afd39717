"""Sample of a large dataset: size, strata, whole covers, and what is read to select it."""

from __future__ import annotations

import csv
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from starlight_exporter.dataset.found_files import FoundFile, FoundFiles
from starlight_exporter.dataset.labelled_files import LabelledFiles, find_labelled_files
from starlight_exporter.dataset.labels import Labels, read_labels
from starlight_exporter.detector.contract import METHODS
from starlight_exporter.evaluation.sample import Sampler, is_sampled, sample_files, sample_size


def listing(paths: Iterable[str], sidecars: Sequence[str] = ()) -> LabelledFiles:
    """Return a listing of files that do not exist; `sidecars` are the paths of files that have one."""
    classes = {"clean": "clean", "stego": "stego", "negatives": "negative"}
    files = [
        FoundFile(Path("nowhere"), path, classes[path.partition("/")[0]], f"{path}.json" if path in sidecars else None)  # type: ignore[arg-type]
        for path in paths
    ]
    return LabelledFiles(FoundFiles.of(Path("nowhere"), files), read_labels, has_manifest=False, clean_folder="clean")


def clean(images: int, suffix: str = "png") -> list[str]:
    return [f"clean/{number:05}.{suffix}" for number in range(images)]


def stego(images: int, method: str, suffix: str = "png") -> list[str]:
    return [f"stego/{method}/{number:05}.{suffix}" for number in range(images)]


def negatives(images: int, category: str) -> list[str]:
    return [f"negatives/{category}/{number:05}.png" for number in range(images)]


def folders(chosen: Iterable[FoundFile]) -> Counter[str]:
    return Counter(found.path.rpartition("/")[0] for found in chosen)


@pytest.mark.parametrize(
    ("images", "rate", "expected"),
    [
        (1_000_000, 5_000.0, 2_000),
        # More than 2,000 images fit into ten seconds.
        (35_000, 3_500.0, None),
        (35_001, 3_500.0, 2_000),
        # Fewer do: the sample is smaller, but not so small that it shows nothing.
        (2_001, 80.0, 800),
        (2_001, 1.0, 500),
    ],
)
def test_samples_datasets_that_do_not_fit_into_ten_seconds(images: int, rate: float, expected: int | None) -> None:
    assert sample_size(images, rate, has_result=True) == expected
    assert sample_size(images, rate, has_result=False) == (expected or 2_000)


def test_small_datasets_are_not_sampled() -> None:
    assert not is_sampled(2_000)
    assert is_sampled(2_001)


def test_classes_methods_and_categories_have_fixed_shares() -> None:
    paths = [*clean(5_000), *(path for method in METHODS for path in stego(900, method))]
    paths += [*negatives(300, "a"), *negatives(900, "b")]
    chosen = folders(sample_files(listing(paths), images=1_000, seed=0))
    assert chosen == {
        "clean": 500,
        **{f"stego/{method}": 80 for method in METHODS},
        "negatives/a": 50,
        "negatives/b": 50,
    }


def test_small_and_absent_classes_leave_their_share_to_the_others() -> None:
    paths = [*clean(5_000), *stego(30, "exif"), *stego(5_000, "lsb")]
    assert folders(sample_files(listing(paths), images=900, seed=0)) == {
        "clean": 500,
        "stego/exif": 30,
        "stego/lsb": 370,
    }
    few_clean = sample_files(listing([*clean(50), *stego(900, "lsb")]), images=100, seed=0)
    assert folders(few_clean) == {"clean": 50, "stego/lsb": 50}


def test_formats_have_the_shares_of_the_dataset() -> None:
    chosen = sample_files(listing([*clean(9_000, "png"), *clean(1_000, "gif")]), images=500, seed=0)
    assert Counter(found.path.rpartition(".")[2] for found in chosen) == {"png": 450, "gif": 50}


def test_same_seed_gives_the_same_files_and_another_seed_others() -> None:
    paths = [*clean(4_000), *stego(4_000, "lsb")]
    one = sample_files(listing(paths), images=400, seed=1)
    backwards = sample_files(listing(reversed(paths)), images=400, seed=1)
    assert {found.path for found in backwards} == {found.path for found in one}
    other = sample_files(listing(paths), images=400, seed=2)
    assert len(set(one) & set(other)) < 100


def test_growing_samples_are_those_of_their_sizes() -> None:
    paths = [*clean(900), *stego(300, "lsb"), *stego(300, "exif", "jpg"), *negatives(90, "a"), *negatives(60, "b")]
    unnamed = [f"stego/{number}.png" for number in range(900)]
    files = listing([*paths, *unnamed], sidecars=unnamed)
    read: list[str] = []

    def labels(found: FoundFile) -> Labels:
        if found.sidecar is None:
            return read_labels(found)
        read.append(found.path)
        return Labels(method="alpha" if int(found.path[6:-4]) % 20 else "eoi")

    files = replace(files, labels_of=labels)
    sampler = Sampler(files, seed=3)
    samples = [sampler.numbers(images) for images in (50, 200, 200, 451)]
    # No sidecar is read again.
    assert len(read) == len(set(read)) == 4 * 180
    assert samples == [[one.number for one in sample_files(files, images=size, seed=3)] for size in (50, 200, 200, 451)]
    assert len(set(samples[0]) & set(samples[1])) >= 48


def test_most_files_remain_when_files_are_added() -> None:
    before = sample_files(listing(clean(4_000)), images=400, seed=0)
    after = sample_files(listing(clean(4_200)), images=400, seed=0)
    assert len(set(before) & set(after)) > 360


def test_every_file_is_selected_with_the_same_probability() -> None:
    counts: Counter[str] = Counter()
    for seed in range(400):
        counts.update(found.path for found in sample_files(listing(clean(100)), images=20, seed=seed))
    # 80 expected, standard deviation 8.
    assert 45 < min(counts.values()) <= max(counts.values()) < 115
    assert len(counts) == 100


def test_selects_whole_covers_of_a_manifest(tmp_path: Path) -> None:
    rows = []
    for cover in range(300):
        rows += [(f"images/{cover}-{copy}.png", "clean", "", f"cover {cover}") for copy in range(4)]
        rows += [(f"images/{cover}-{copy}-hidden.png", "stego", "lsb", f"cover {cover}") for copy in range(3)]
    (tmp_path / "images").mkdir()
    for path, *_ in rows:
        (tmp_path / path).touch()
    with (tmp_path / "labels.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("path", "class", "method", "cover"))
        writer.writerows(rows)
    files = find_labelled_files(tmp_path)
    covers = {path: cover for path, _, _, cover in rows}
    chosen = sample_files(files, images=180, seed=0)
    for file_class, copies in (("clean", 4), ("stego", 3)):
        by_cover = Counter(covers[found.path] for found in chosen if found.file_class == file_class)
        assert set(by_cover.values()) == {copies}
    clean_covers, stego_covers = (
        {covers[found.path] for found in chosen if found.file_class == name} for name in ("clean", "stego")
    )
    # Clean and stego files are of the same covers as far as both have files.
    assert min(len(clean_covers), len(stego_covers)) == len(clean_covers & stego_covers)


def test_a_cover_with_many_files_does_not_fill_the_sample() -> None:
    files = listing(clean(5_000))
    same = LabelledFiles(files.found, lambda _found: Labels(cover="one"), has_manifest=True, clean_folder="clean")
    assert len(sample_files(same, images=100, seed=0)) == 200


def test_reads_sidecars_of_candidates_only_when_the_method_is_unknown() -> None:
    read: list[str] = []
    named = [f"stego/x_lsb_{number}.png" for number in range(1_000)]
    unnamed = [f"stego/{number}.png" for number in range(3_000)]

    def labels(found: FoundFile) -> Labels:
        if found.sidecar is not None:
            read.append(found.path)
            return Labels(method="alpha" if int(found.path[6:-4]) % 20 else "exif")
        return Labels(method="lsb" if "lsb" in found.path else None)

    base = listing([*clean(2_000), *named, *unnamed], sidecars=[*named, *unnamed])
    files = LabelledFiles(base.found, labels, has_manifest=False, clean_folder="clean")
    chosen = sample_files(files, images=450, seed=0)
    stego_files = [found.path for found in chosen if found.file_class == "stego"]
    assert not set(read) & set(named)
    assert len(read) == 4 * 200
    assert len(stego_files) == 200
    methods = Counter("lsb" if "lsb" in path else "alpha" if int(path[6:-4]) % 20 else "exif" for path in stego_files)
    # One of 20 sidecars states the rare method: about 40 of the 800 that are read.
    assert 20 < methods["exif"] < 65
    assert abs(methods["lsb"] - methods["alpha"]) <= 1


def test_selects_no_file_without_label_or_with_a_problem(tmp_path: Path) -> None:
    (tmp_path / "stego").mkdir()
    (tmp_path / "clean").mkdir()
    for number in range(20):
        (tmp_path / "stego" / f"{number}.png").touch()
        (tmp_path / "clean" / f"{number}.png").touch()
    for number in range(5):
        content = {"embedding": {"technique": "lsb" if number else "unknown"}}
        (tmp_path / "stego" / f"{number}.png.json").write_text(json.dumps(content))
    (tmp_path / "clean" / "out").symlink_to("/")
    chosen = folders(sample_files(find_labelled_files(tmp_path), images=1_000, seed=0))
    assert chosen == {"clean": 20, "stego": 4}


def test_selects_the_categories_with_the_most_files() -> None:
    paths = [path for number in range(120) for path in negatives(2 if number < 100 else 1, f"c{number}")]
    chosen = sample_files(listing([*clean(100), *paths]), images=1_000, seed=0)
    assert len({found.path.split("/")[1] for found in chosen if found.file_class == "negative"}) == 100
