"""Training examples: the output of the network's fixed front end for each image of a labelled dataset."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import PIL
import torch
from numpy.typing import NDArray
from torch import Tensor

from starlight_exporter.dataset import layout
from starlight_exporter.dataset.dataset import Dataset
from starlight_exporter.detector import contract, decoding, features, streams
from starlight_exporter.detector.contract import (
    BIT_ORDER_INPUT,
    BIT_ORDER_VALUE,
    INPUT_STREAMS,
    METHODS,
    STREAM_SHAPES,
    STREAMS,
    Stream,
)
from starlight_exporter.detector.decoding import decode
from starlight_exporter.detector.streams import tensors
from starlight_exporter.errors import ImageError
from starlight_exporter.files import open_output
from training import byte_classes, byte_reader, front_end, variants
from training.front_end import FrontEnd, planes_of
from training.variants import VARIANTS, Variant

Arrays = dict[str, NDArray[np.float32]]

_CHUNK = 64
_AT_ONCE = 16


@dataclass(frozen=True, slots=True)
class Examples:
    """Outputs of the v4 front end by name, `stego` (N,) 0 or 1, and `method` (N,) class index or −1."""

    arrays: Arrays
    stego: NDArray[np.int64]
    method: NDArray[np.int64]
    names: tuple[str, ...]
    fingerprint: str
    unreadable: int

    def __len__(self) -> int:
        return len(self.stego)

    def batch(self, rows: NDArray[np.int64], variant: Variant) -> tuple[dict[str, Tensor], Tensor, Tensor]:
        """Return the front-end outputs of a variant for these rows, with stego (N×1 floats) and method targets."""
        ready = {name: torch.from_numpy(array[rows]) for name, array in self.arrays.items()}
        # All variants have the same order of planes; older ones have only the first of them.
        for name in ("class_shares", "statistics"):
            ready[name] = ready[name][:, : len(planes_of(variant))]
        ready[BIT_ORDER_INPUT] = torch.tensor(BIT_ORDER_VALUE).expand(len(rows), 3)
        stego = torch.from_numpy(self.stego[rows]).float().unsqueeze(1)
        return ready, stego, torch.from_numpy(self.method[rows])


def join(parts: Sequence[Examples]) -> Examples:
    """Concatenate several datasets."""
    return Examples(
        arrays={name: np.concatenate([part.arrays[name] for part in parts]) for name in parts[0].arrays},
        stego=np.concatenate([part.stego for part in parts]),
        method=np.concatenate([part.method for part in parts]),
        names=tuple(name for part in parts for name in part.names),
        fingerprint="+".join(part.fingerprint for part in parts),
        unreadable=sum(part.unreadable for part in parts),
    )


def load_examples(
    root: Path,
    *,
    workers: int | None = None,
    cache: Path | None = None,
    progress: Callable[[int, int], None],
) -> Examples:
    """Decode every labelled image of a dataset, in the order of the dataset.

    The result is stored in the folder `cache` and reused while the files, the code and the Pillow version are the same.
    """
    dataset = layout.scan(root.name, root)
    if cache is None:
        return _load(dataset, workers or os.cpu_count() or 1, progress)
    kept = cache / f"{dataset.fingerprint[:16]}-{code_version()}.npz"
    if kept.is_file():
        progress(len(dataset.files), len(dataset.files))
        return _read(kept)
    examples = _load(dataset, workers or os.cpu_count() or 1, progress)
    _write(kept, examples)
    return examples


_ARRAY = "array."


def _write(path: Path, examples: Examples) -> None:
    with open_output(path) as file:
        np.savez(
            file,
            stego=examples.stego,
            method=examples.method,
            names=np.array(examples.names),
            fingerprint=np.array(examples.fingerprint),
            unreadable=np.array(examples.unreadable),
            **{_ARRAY + name: array for name, array in examples.arrays.items()},  # type: ignore[arg-type]
        )


def _read(path: Path) -> Examples:
    with np.load(path) as kept:
        return Examples(
            arrays={name.removeprefix(_ARRAY): kept[name] for name in kept.files if name.startswith(_ARRAY)},
            stego=kept["stego"],
            method=kept["method"],
            names=tuple(kept["names"].tolist()),
            fingerprint=str(kept["fingerprint"]),
            unreadable=int(kept["unreadable"]),
        )


def code_version() -> str:
    """Return a hash of the code and the Pillow version that cached arrays depend on."""
    digest = hashlib.sha256(PIL.__version__.encode())
    files = [
        module.__file__
        for module in (byte_classes, byte_reader, contract, decoding, features, front_end, streams, variants)
    ]
    for file in (*files, __file__):
        assert file is not None
        digest.update(Path(file).read_bytes())
    return digest.hexdigest()[:12]


def _load(dataset: Dataset, workers: int, progress: Callable[[int, int], None]) -> Examples:
    files = [file for file in dataset.files if file.problem is None]
    chunks = [files[at : at + _CHUNK] for at in range(0, len(files), _CHUNK)]
    parts: dict[int, tuple[Arrays, list[int]]] = {}
    done = 0
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        futures = {
            pool.submit(_prepare, [f"{dataset.root}/{file.path}" for file in chunk]): number
            for number, chunk in enumerate(chunks)
        }
        for future in as_completed(futures):
            parts[futures[future]] = future.result()
            done += len(chunks[futures[future]])
            progress(done, len(files))
    ordered = [parts[number] for number in range(len(chunks))]
    kept = [chunk[i] for chunk, (_, good) in zip(chunks, ordered, strict=True) for i in good]
    arrays = {name: np.concatenate([part[name] for part, _ in ordered]) for name in ordered[0][0]}
    return Examples(
        arrays=arrays,
        stego=np.array([file.file_class == "stego" for file in kept], dtype=np.int64),
        method=np.array([-1 if file.method is None else METHODS.index(file.method) for file in kept], dtype=np.int64),
        names=tuple(file.path for file in kept),
        fingerprint=dataset.fingerprint,
        unreadable=len(dataset.files) - len(kept),
    )


def _prepare(paths: Sequence[str]) -> tuple[Arrays, list[int]]:
    torch.set_num_threads(1)
    decoded: list[dict[Stream, NDArray[np.float32]]] = []
    good: list[int] = []
    for number, path in enumerate(paths):
        try:
            decoded.append(tensors(decode(Path(path).read_bytes()), STREAMS))
        except ImageError:
            continue
        good.append(number)
    variant = VARIANTS["v4"]
    front = FrontEnd(variant)
    parts = [_front(front, decoded[at : at + _AT_ONCE]) for at in range(0, len(decoded), _AT_ONCE)]
    if not parts:
        empty = _front(front, [{stream: np.zeros(STREAM_SHAPES[stream], np.float32) for stream in STREAMS}])
        return {name: array[:0] for name, array in empty.items()}, good
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}, good


def _front(front: FrontEnd, images: Sequence[dict[Stream, NDArray[np.float32]]]) -> Arrays:
    given = {
        name: torch.from_numpy(np.stack([image[INPUT_STREAMS[name]] for image in images]))
        for name in front.variant.inputs
    }
    with torch.no_grad():
        return {name: tensor.numpy().astype(np.float32) for name, tensor in front(given).items()}


def batches(count: int, size: int, generator: np.random.Generator | None) -> Iterator[NDArray[np.int64]]:
    """Yield row numbers in batches; with a generator, shuffled and without a last batch of one image."""
    order = np.arange(count) if generator is None else generator.permutation(count)
    for at in range(0, count, size):
        rows = order[at : at + size]
        if generator is None or len(rows) > 1:
            yield rows
