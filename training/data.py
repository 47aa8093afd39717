"""A labelled dataset as arrays that fit into memory: what the network's fixed front end makes of each image, packed."""

from __future__ import annotations

import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from exporter.dataset import layout
from exporter.dataset.dataset import Dataset
from exporter.detector.contract import BIT_ORDER_INPUT, BIT_ORDER_VALUE, INPUT_STREAMS, METHODS, STREAMS
from exporter.detector.streams import decode, tensors
from exporter.errors import ImageError
from training.network import FrontEnd
from training.variants import VARIANTS, Variant

Arrays = dict[str, NDArray[np.uint8] | NDArray[np.float32]]

PLANES = {"lsb": 3, "alpha_bits": 1, "palette_lsb": 1}
BYTES = ("pixel_tensor", "meta", "alpha_values", "palette")
FLOATS = ("format_features", "content_features")

_CHUNK = 64


@dataclass(frozen=True, slots=True)
class Examples:
    """Images ready for training: packed arrays by name, `stego` (N,) 0/1, `method` (N,) class id or −1."""

    arrays: Arrays
    stego: NDArray[np.int64]
    method: NDArray[np.int64]
    names: tuple[str, ...]
    fingerprint: str
    unreadable: int

    def __len__(self) -> int:
        return len(self.stego)

    def batch(self, rows: NDArray[np.int64], *, shift: int = 0) -> tuple[dict[str, Tensor], Tensor, Tensor]:
        """Front-end tensors of these rows with stego (N×1 floats) and method targets.

        `shift` rolls the planes to the right by so many pixels: the same text seen from another start of the crop.
        """
        ready: dict[str, Tensor] = {}
        for name, planes in PLANES.items():
            bits = np.unpackbits(self.arrays[name][rows].view(np.uint8), axis=-1)
            ready[name] = torch.from_numpy(bits.reshape(len(rows), planes, 256, 256)).float()
        known, odd = (np.unpackbits(self.arrays[name][rows].view(np.uint8), axis=-1) for name in ("known", "odd"))
        signs = known.astype(np.int8) * (2 * odd.astype(np.int8) - 1)
        ready["parity"] = torch.from_numpy(signs.reshape(len(rows), 1, 256, 256)).float()
        if shift:
            ready = {name: torch.roll(plane, shift, 3) for name, plane in ready.items()}
        for name in BYTES:
            ready[name] = torch.from_numpy(self.arrays[name][rows]).float() / 255.0
        for name in FLOATS:
            ready[name] = torch.from_numpy(self.arrays[name][rows])
        ready[BIT_ORDER_INPUT] = torch.tensor(BIT_ORDER_VALUE).expand(len(rows), 3)
        stego = torch.from_numpy(self.stego[rows]).float().unsqueeze(1)
        return ready, stego, torch.from_numpy(self.method[rows])


def load_examples(root: Path, *, workers: int | None = None, progress: Callable[[int, int], None]) -> Examples:
    """Decodes every labelled image of a dataset; the order is that of the dataset, whatever the number of workers."""
    dataset = layout.scan(root.name, root)
    return _load(dataset, workers or os.cpu_count() or 1, progress)


def _load(dataset: Dataset, workers: int, progress: Callable[[int, int], None]) -> Examples:
    files = [file for file in dataset.files if file.problem is None]
    chunks = [files[at : at + _CHUNK] for at in range(0, len(files), _CHUNK)]
    parts: dict[int, tuple[Arrays, list[int]]] = {}
    done = 0
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        futures = {
            pool.submit(_prepare, [str(dataset.root / file.path) for file in chunk]): number
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
    variant: Variant = VARIANTS["v4"]
    front = FrontEnd(variant)
    rows: list[dict[str, NDArray[np.uint8] | NDArray[np.float32]]] = []
    good: list[int] = []
    for number, path in enumerate(paths):
        try:
            streams = tensors(decode(Path(path).read_bytes()), STREAMS)
        except ImageError:
            continue
        given = {name: torch.from_numpy(streams[INPUT_STREAMS[name]]).unsqueeze(0) for name in variant.inputs}
        rows.append(_packed(front(given)))
        good.append(number)
    if not rows:
        return {name: np.zeros((0, *value.shape[1:]), value.dtype) for name, value in _empty().items()}, good
    return {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}, good


def _empty() -> Arrays:
    variant = VARIANTS["v4"]
    return _packed(FrontEnd(variant)({name: torch.zeros(1, *variant.input_shape(name)) for name in variant.inputs}))


def _packed(ready: dict[str, Tensor]) -> Arrays:
    arrays: Arrays = {}
    for name in PLANES:
        arrays[name] = np.packbits(ready[name].numpy().astype(np.uint8).reshape(1, -1), axis=-1)
    parity = ready["parity"].numpy().reshape(1, -1)
    arrays["known"] = np.packbits(parity != 0, axis=-1)
    arrays["odd"] = np.packbits(parity > 0, axis=-1)
    for name in BYTES:
        arrays[name] = np.rint(ready[name].numpy() * 255.0).astype(np.uint8)
    for name in FLOATS:
        arrays[name] = ready[name].numpy().astype(np.float32)
    return arrays


def batches(count: int, size: int, generator: np.random.Generator | None) -> Iterator[NDArray[np.int64]]:
    """Row numbers in batches, shuffled where there is a generator (then without a last batch of one image)."""
    order = np.arange(count) if generator is None else generator.permutation(count)
    for at in range(0, count, size):
        rows = order[at : at + size]
        if generator is None or len(rows) > 1:
            yield rows
