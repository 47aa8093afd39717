"""Replace the model file in ten ways: every result is under its hash, and only changed content is evaluated."""

from __future__ import annotations

import hashlib
import itertools
import os
import shutil
import stat
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from attacks.outcome import Outcome, Requirement, at_most, none_of
from support.exporter import Exporter, write_config
from support.models import write_constant_model
from support.processes import Usage, idle_usage
from support.stored import evidence_records, history_records

LONGEST: Final = 60.0
_SETTLE: Final = 0.4
_STEGO: Final = 10


class _Target:
    """The model path, and two models of which the next one is to be deployed."""

    def __init__(self, folder: Path) -> None:
        self.models = folder / "models"
        self.file = self.models / "model.onnx"
        self._stock = folder / "stock"
        self._sources = [write_constant_model(self._stock / f"{logit}.onnx", logit=logit) for logit in (-4.0, 4.0)]
        self._versions = itertools.count()
        self.stego = {
            hashlib.sha256(file.read_bytes()).hexdigest(): count
            for file, count in zip(self._sources, (0, _STEGO), strict=True)
        }
        self.deployed = 0
        self.models.mkdir()
        shutil.copy(self._sources[0], self.file)

    @property
    def sha256(self) -> str:
        """The hash of the deployed content."""
        return hashlib.sha256(self._sources[self.deployed].read_bytes()).hexdigest()

    def other(self) -> Path:
        """Return a new copy of the other model on the same file system."""
        return self.copy(1 - self.deployed)

    def same(self) -> Path:
        """Return a new copy of the deployed model."""
        return self.copy(self.deployed)

    def copy(self, number: int) -> Path:
        """Return a new copy of one of the models."""
        file = self._stock / f"copy-{next(self._versions)}"
        shutil.copy(self._sources[number], file)
        return file

    def remove(self) -> None:
        """Remove what is at the path."""
        if self.file.is_dir() and not self.file.is_symlink():
            self.file.rmdir()
        else:
            self.file.unlink(missing_ok=True)


Swap = Callable[[_Target, Exporter, int], None]


def _renamed_over(target: _Target, _exporter: Exporter, _round: int) -> None:
    target.other().rename(target.file)
    target.deployed = 1 - target.deployed


def _written_slowly(target: _Target, _exporter: Exporter, _round: int) -> None:
    data = target.other().read_bytes()
    with target.file.open("r+b", buffering=0) as file:
        for start in range(0, len(data), len(data) // 5 + 1):
            file.write(data[start : start + len(data) // 5 + 1])
            time.sleep(_SETTLE / 2)
        file.truncate(len(data))
    target.deployed = 1 - target.deployed


def _symbolic_link(target: _Target, _exporter: Exporter, _round: int) -> None:
    link = target.models / "link"
    link.symlink_to(target.other())
    link.rename(target.file)
    target.deployed = 1 - target.deployed


def _folder(target: _Target, _exporter: Exporter, _round: int) -> None:
    new, old = target.models.with_name("models.new"), target.models.with_name("models.old")
    new.mkdir()
    target.other().rename(new / target.file.name)
    target.models.rename(old)
    new.rename(target.models)
    shutil.rmtree(old)
    target.deployed = 1 - target.deployed


def _unlinked_and_created(target: _Target, _exporter: Exporter, number: int) -> None:
    new = target.other()
    target.file.unlink()
    time.sleep((0, _SETTLE / 2, _SETTLE * 3)[number % 3])
    shutil.copy(new, target.file)
    target.deployed = 1 - target.deployed


def _truncated_and_written(target: _Target, _exporter: Exporter, number: int) -> None:
    data = target.other().read_bytes()
    os.truncate(target.file, 0)
    time.sleep((_SETTLE / 2, _SETTLE * 3)[number % 2])
    target.file.write_bytes(data)
    target.deployed = 1 - target.deployed


def _hard_link(target: _Target, _exporter: Exporter, _round: int) -> None:
    """As by `cp -al`: other metadata and another inode, the same content."""
    link = target.models / "link"
    link.hardlink_to(target.same())
    link.rename(target.file)


def _touched(target: _Target, _exporter: Exporter, _round: int) -> None:
    target.file.touch()
    target.file.chmod(0o600 if target.file.stat().st_mode & 0o077 else 0o644)


def _other_file_type(target: _Target, exporter: Exporter, number: int) -> None:
    new = target.other()
    target.remove()
    (
        lambda: os.mkfifo(target.file),
        target.file.mkdir,
        lambda: os.mknod(target.file, stat.S_IFSOCK | 0o600),
        lambda: target.file.symlink_to("nowhere"),
    )[number % 4]()
    exporter.wait_until(lambda: exporter.value("model_last_load_successful", model="production") == 0, "the failure")
    target.remove()
    new.rename(target.file)
    target.deployed = 1 - target.deployed


def _there_and_back(target: _Target, exporter: Exporter, number: int) -> None:
    """The other model appears within the settle time, or both in turn while it is loaded; then the first one stays."""
    target.other().rename(target.file)
    if number % 2:
        exporter.wait_until(lambda: exporter.total("evaluation_in_progress") > 0, "the evaluation of the other model")
        for _ in range(40):
            target.same().rename(target.file)
            time.sleep(_SETTLE / 16)
            target.other().rename(target.file)
            time.sleep(_SETTLE / 16)
    else:
        time.sleep(_SETTLE / 4)
    target.same().rename(target.file)


WAYS: Final[tuple[Swap, ...]] = (
    _renamed_over,
    _written_slowly,
    _symbolic_link,
    _folder,
    _unlinked_and_created,
    _truncated_and_written,
    _hard_link,
    _touched,
    _other_file_type,
    _there_and_back,
)


def attack(folder: Path, rounds: int) -> Outcome:
    """Swap the model in each of the ten ways, `rounds` times each."""
    target = _Target(folder)
    config = write_config(folder, latency={"sample": 0}, evidence={"keep": 10_000})
    slowest, first = 0.0, None
    with Exporter(config) as exporter:
        _wait_for(exporter, target)
        for number in range(rounds):
            for swap in WAYS:
                swap(target, exporter, number)
                began = time.monotonic()
                _wait_for(exporter, target)
                slowest = max(slowest, time.monotonic() - began)
            if first is None:
                first = idle_usage(exporter.process.pid)
        last = idle_usage(exporter.process.pid)
        code = exporter.stop()
    assert first is not None
    return Outcome(
        "Swaps of the model file",
        f"{rounds * len(WAYS)} swaps in {len(WAYS)} ways",
        (
            *_stored(folder, target, rounds // 2),
            at_most("last content evaluated after", slowest, LONGEST, "s"),
            _growth(first, last),
            Requirement("exit code 0 at SIGTERM", str(code), code == 0),
        ),
    )


def _wait_for(exporter: Exporter, target: _Target) -> None:
    sha256 = target.sha256

    def shown() -> bool:
        return (
            exporter.value("evaluation_info", model="production", model_sha256=sha256[:12]) == 1
            and exporter.value("model_file_info", model="production", sha256=sha256[:12]) == 1
            and exporter.total("detections") == target.stego[sha256]
            and exporter.total("evaluation_in_progress") + exporter.total("evaluations_queued") == 0
        )

    exporter.wait_until(shown, f"the result of {sha256[:12]}", timeout=LONGEST * 2)


def _stored(folder: Path, target: _Target, returns: int) -> tuple[Requirement, ...]:
    history = history_records(folder / "data")
    hashes = [record["provenance"]["model_sha256"] for record in history]
    wrong = [
        record["id"]
        for record in (*history, *evidence_records(folder / "results").values())
        if target.stego.get(record["provenance"]["model_sha256"]) != record["stego"]["count"]
    ]
    repeated = [
        one["id"]
        for one, (before, after) in zip(history[1:], itertools.pairwise(hashes), strict=True)
        if before == after
    ]
    return (
        none_of("results under a wrong hash", wrong),
        # When the first model returns while the other one is loaded, the run that was started evaluates the first one.
        none_of(f"evaluations without changed content, except {returns} returns while loading", repeated[returns:]),
    )


def _growth(first: Usage, last: Usage) -> Requirement:
    pairs = (
        (first.resident_bytes, last.resident_bytes),
        (first.descriptors, last.descriptors),
        (first.threads, last.threads),
    )
    return Requirement(
        "memory, descriptors and threads at the end within 5% of those after ten swaps",
        f"{first} → {last}",
        all(after <= before * 1.05 for before, after in pairs),
    )
