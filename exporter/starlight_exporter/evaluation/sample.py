"""Stratified random sample of the files of a dataset, selected from its listing before any image is read.

Strata are class, method or category, and format by file name. Within a method the formats have the shares that they
have in the dataset, so that the rates of the sample estimate those of the dataset. Each cover has one random number,
and a stratum takes the files with the smallest numbers: all files of a cover in a stratum are selected together, and
clean and stego files of the same covers as far as possible. If a sidecar states the cover, it is known only for the
files whose sidecar is read: those of a first random step if the method is unknown too, otherwise those of the sample.
"""

from __future__ import annotations

import hashlib
from array import array
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from starlight_exporter.dataset.categories import MAX_CATEGORIES
from starlight_exporter.dataset.dataset import FileClass
from starlight_exporter.dataset.found_files import FoundFile
from starlight_exporter.dataset.labelled_files import LabelledFiles
from starlight_exporter.dataset.labels import Labels

FIRST_SECONDS: Final = 10.0
"""An evaluation whose images take longer measures a sample first."""
SAMPLE_IMAGES: Final = 2000
"""Size of the sample. A dataset with at most as many images is never sampled."""
TIMED_IMAGES: Final = 200
"""The images of the sample that are measured first: their rate determines its size."""
_MIN_SAMPLE_IMAGES: Final = 500
_CLASS_SHARES: Final[Mapping[FileClass, int]] = {"clean": 5, "stego": 4, "negative": 1}
"""Shares of the classes; absent classes leave theirs to the others."""
_CANDIDATES: Final = 4
"""Stego files with a sidecar that are read per file of the sample: their methods are unknown before."""

_Stratum = tuple[FileClass, str, str]
"""Class, method or category, and suffix of the file name."""


def is_sampled(images: int) -> bool:
    """Return whether a dataset is so large that a sample can be useful."""
    return images > SAMPLE_IMAGES


def sample_size(images: int, images_per_second: float, *, has_result: bool) -> int | None:
    """Return how many of the images of a large dataset to measure first, as many as fit into FIRST_SECONDS.

    Return None if all images fit, and the dataset has a result. Without one, nothing is displayed until the sample is
    measured, and the rate of a few images is no reason to wait for all.
    """
    in_time = int(FIRST_SECONDS * images_per_second)
    if has_result and images <= in_time:
        return None
    return max(_MIN_SAMPLE_IMAGES, min(SAMPLE_IMAGES, in_time))


def sample_files(listing: LabelledFiles, *, images: int, seed: int) -> list[FoundFile]:
    """Return about `images` files of a listing, in its order.

    Half of them are clean, 40% stego in equal parts by method, 10% negatives in equal parts by category, as far as the
    dataset has them. Whole covers may make a stratum larger, at most twice as large. Files without a method or category
    are not selected. The same listing and seed give the same files, and most of them remain when files are added.
    """
    return [listing.found[number] for number in Sampler(listing, seed=seed).numbers(images)]


class Sampler:
    """Selects samples of growing size, each that of `sample_files`; most files of a smaller one are in a larger one."""

    def __init__(self, listing: LabelledFiles, *, seed: int) -> None:
        self._strata = _Strata(listing, seed)
        self._sizes = {name: self._strata.size(name) for name in _CLASS_SHARES}

    def timed_numbers(self) -> list[int]:
        """Return the numbers of the files whose rate determines the size of the sample; call it first."""
        return self.numbers(TIMED_IMAGES)

    def numbers(self, images: int) -> list[int]:
        """Return the numbers of the files of a sample, ascending. `images` is not smaller than in earlier calls."""
        quotas = _quotas(self._sizes, images)
        self._strata.read_sidecars(quotas["stego"])
        chosen: list[int] = []
        for file_class, quota in quotas.items():
            slices = self._strata.slices(file_class)
            sizes = {name: sum(map(len, one.values())) for name, one in slices.items()}
            for name, share in _equal_parts(sizes, quota).items():
                chosen += _by_format(slices[name], share)
        return sorted(chosen)


class _Strata:
    """The files of a listing by stratum, with the random numbers of their covers."""

    def __init__(self, listing: LabelledFiles, seed: int) -> None:
        self._listing = listing
        self._key = str(seed).encode()[: hashlib.blake2b.MAX_KEY_SIZE]
        self._known: dict[tuple[FileClass, str, str], Labels] = {}
        self._members: dict[_Stratum, _Members] = defaultdict(_Members)
        self._unread: list[int] = []
        self._read = 0
        for index, found in enumerate(listing.found):
            if found.problem is None:
                self._add(index, found)

    def size(self, file_class: FileClass) -> int:
        """Return the number of files of a class that can be selected."""
        size = sum(len(members) for (one, _, _), members in self._members.items() if one == file_class)
        return size + (len(self._unread) if file_class == "stego" else 0)

    def read_sidecars(self, quota: int) -> None:
        """Label random stego files of which only a sidecar states the method: more of them for a larger quota."""
        if not self._read:
            self._unread.sort(key=lambda index: self._number(self._path(index)))
        for index in self._unread[self._read : quota * _CANDIDATES]:
            found = self._listing.found[index]
            self._insert(index, found, self._listing.labels_of(found))
        self._read = max(self._read, quota * _CANDIDATES)

    def slices(self, file_class: FileClass) -> dict[str, dict[str, _Members]]:
        """Return the strata of a class by method or category, then by suffix; at most MAX_CATEGORIES of negatives."""
        slices: dict[str, dict[str, _Members]] = defaultdict(dict)
        for (one, name, suffix), members in sorted(self._members.items()):
            if one == file_class:
                slices[name][suffix] = members
        if file_class == "negative" and len(slices) > MAX_CATEGORIES:
            sizes = {name: sum(map(len, one.values())) for name, one in slices.items()}
            kept = sorted(sizes, key=lambda name: (-sizes[name], name))[:MAX_CATEGORIES]
            return {name: slices[name] for name in kept}
        return slices

    def _add(self, index: int, found: FoundFile) -> None:
        if self._listing.has_manifest:
            self._insert(index, found, self._listing.labels_of(found))
            return
        labels = self._labels_of_path(found)
        if found.sidecar is not None and labels.method is None:
            self._unread.append(index)
        else:
            self._insert(index, found, labels)

    def _labels_of_path(self, found: FoundFile) -> Labels:
        """Return the labels that folders and name state; one call for all files that agree in both."""
        folder, _, name = found.path.rpartition("/")
        parts = name.rpartition(".")[0].rsplit("_", 2)
        hint = parts[1] if len(parts) == 3 and parts[2].isdecimal() else ""
        key = (found.file_class, folder, hint)
        labels = self._known.get(key)
        if labels is None:
            labels = self._known[key] = self._listing.labels_of(replace(found, sidecar=None))
        return labels

    def _insert(self, index: int, found: FoundFile, labels: Labels) -> None:
        name = "" if found.file_class == "clean" else labels.method or labels.category
        if name is None or labels.problem is not None:
            return
        suffix = found.path.rpartition(".")[2].lower()
        cover = self._cover(labels.cover) if labels.cover is not None else found.path
        self._members[found.file_class, name, suffix].add(index, self._number(cover))

    def _cover(self, stated: str) -> str:
        """Return the path of the clean file that a stated cover names, or the cover as it is stated."""
        path = f"{self._listing.clean_folder}/{stated}"
        return stated if self._listing.found.number_of(path) is None else path

    def _path(self, index: int) -> str:
        return self._listing.found[index].path

    def _number(self, cover: str) -> int:
        data = cover.encode(errors="surrogateescape")
        return int.from_bytes(hashlib.blake2b(data, digest_size=8, key=self._key).digest(), "big")


class _Members:
    """Files of one stratum: positions in the listing, and the random numbers of their covers."""

    def __init__(self) -> None:
        self._indices = array("q")
        self._numbers = array("Q")

    def __len__(self) -> int:
        return len(self._indices)

    def add(self, index: int, number: int) -> None:
        """Add a file."""
        self._indices.append(index)
        self._numbers.append(number)

    def first(self, quota: int) -> list[int]:
        """Return the files of the covers with the smallest numbers: at least `quota`, at most twice as many."""
        if not quota:
            return []
        indices, numbers = np.array(self._indices, np.int64), np.array(self._numbers, np.uint64)
        order: NDArray[np.int64] = np.lexsort((indices, numbers))
        last = numbers[order[min(quota, len(order)) - 1]]
        whole = int(np.count_nonzero(numbers <= last))
        return [int(index) for index in indices[order[: min(whole, 2 * quota)]]]


def _quotas(sizes: Mapping[FileClass, int], images: int) -> dict[FileClass, int]:
    """Return the number of files of each class: by _CLASS_SHARES, and what small classes leave goes to the others."""
    quotas: dict[FileClass, int] = dict.fromkeys(sizes, 0)
    left, open_classes = images, [name for name in sizes if sizes[name]]
    while open_classes and left:
        total = sum(_CLASS_SHARES[name] for name in open_classes)
        shares = {name: left * _CLASS_SHARES[name] // total for name in open_classes}
        small = [name for name in open_classes if sizes[name] <= shares[name]]
        for name in small or open_classes:
            quotas[name] = min(sizes[name], shares[name])
            left -= quotas[name]
        if not small:
            break
        open_classes = [name for name in open_classes if name not in small]
    return quotas


def _equal_parts(sizes: Mapping[str, int], quota: int) -> dict[str, int]:
    """Return equal parts of a quota; what small slices leave goes to the others."""
    parts: dict[str, int] = {}
    for number, name in enumerate(sorted(sizes, key=lambda one: (sizes[one], one))):
        parts[name] = min(sizes[name], (quota - sum(parts.values())) // (len(sizes) - number))
    return parts


def _by_format(strata: Mapping[str, _Members], quota: int) -> Iterable[int]:
    """Return files of one slice, with the formats in the shares of the dataset (largest remainders)."""
    total = sum(map(len, strata.values()))
    exact = {suffix: quota * len(members) / total for suffix, members in strata.items()}
    parts = Counter({suffix: int(value) for suffix, value in exact.items()})
    rest = quota - sum(parts.values())
    for suffix in sorted(exact, key=lambda one: (int(exact[one]) - exact[one], one))[:rest]:
        parts[suffix] += 1
    return [index for suffix, members in strata.items() for index in members.first(parts[suffix])]
