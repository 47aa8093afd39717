"""Research models that hang, use too much memory or fail on one image: production is on time, they are quarantined."""

from __future__ import annotations

import html
import re
import shutil
import time
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Final

import httpx

from attacks.outcome import Outcome, Requirement, at_most
from support.exporter import Exporter, write_config
from support.hostile_models import WIDE, write_endless_model, write_memory_model
from support.images import image_bytes
from support.models import write_constant_model

LONGEST: Final = 60.0
_MEMORY: Final = "600MiB"
_STEGO: Final = 10


MODELS: Final[Mapping[str, Callable[[Path], Path]]] = {
    "endless": write_endless_model,
    "memory": write_memory_model,
    "endless for one image": partial(write_endless_model, images="wide"),
    "memory for one image": partial(write_memory_model, images="wide"),
}
_ONE_IMAGE: Final = "for one image"


def attack(folder: Path, models: Collection[str]) -> Outcome:
    """Evaluate production next to hostile research models (keys of MODELS), and change it while `endless` runs."""
    names = {kind: kind.replace(" ", "-") for kind in models}
    for kind, name in names.items():
        MODELS[kind](folder / "models" / f"{name}.onnx")
    better = write_constant_model(folder / "stock" / "better.onnx", logit=4.0)
    config = write_config(
        folder,
        models=[
            {"name": "production", "file": "models/model.onnx", "role": "production"},
            *({"name": name, "file": f"models/{name}.onnx", "role": "research"} for name in names.values()),
        ],
        limits={"image_timeout": "3s", "worker_memory": _MEMORY},
        latency={"sample": 0},
    )
    (folder / "images" / "clean" / "wide.png").write_bytes(image_bytes(99, size=(WIDE + 1, 40)))
    with Exporter(config) as exporter:
        exporter.wait_until(lambda: _running(exporter, "endless"), "the evaluation of the endless model", timeout=180.0)
        shutil.copy(better, folder / "models" / "new")
        (folder / "models" / "new").rename(folder / "models" / "model.onnx")
        began = time.monotonic()
        exporter.wait_until(
            lambda: exporter.value("detections", model="production", method="lsb") == 2,
            "production",
            timeout=LONGEST * 3,
        )
        delay = time.monotonic() - began
        partly = {kind: _not_measured(exporter, name) for kind, name in names.items() if kind.endswith(_ONE_IMAGE)}
        quarantined = {kind: _quarantine(exporter, name) for kind, name in names.items() if kind not in partly}
        page = httpx.get(exporter.url, timeout=10.0).text
        production_runs = exporter.value("evaluations_total", model="production", outcome="crashed")
    sentences = [text for text in _texts(page) if re.search("exceeded its memory limit|needs more memory", text)]
    return Outcome(
        "Hostile research models",
        ", ".join(models),
        (
            at_most("production's new values after its change", delay, LONGEST, "s"),
            *(
                Requirement(f"{kind}: quarantined", reason or "no", reason in ("time", "memory"))
                for kind, reason in quarantined.items()
            ),
            *(
                Requirement(f"{kind}: only that image is not measured", found, found.startswith("1 of 25"))
                for kind, found in partly.items()
            ),
            Requirement("crashed runs of production", f"{production_runs:.0f}", production_runs == 0),
            Requirement("the status page names the limit", str(bool(sentences)), bool(sentences)),
        ),
        "status page at the memory limit: " + (f'"{sentences[0]}"' if sentences else "nothing"),
    )


def _running(exporter: Exporter, name: str) -> bool:
    return exporter.value("evaluation_in_progress", model=name) == 1


def _quarantine(exporter: Exporter, name: str) -> str | None:
    """Wait for the quarantine of a model and return its reason; None if there is none."""

    def reason() -> str | None:
        for (metric, labels), value in exporter.metrics().items():
            if metric == "starlight_model_quarantined" and ("model", name) in labels and value == 1:
                return dict(labels)["reason"]
        return None

    with suppress(AssertionError):
        return exporter.wait_until(reason, f"the quarantine of {name}", timeout=240.0)
    return None


def _not_measured(exporter: Exporter, name: str) -> str:
    """Wait for the result of a model; return how many files are not measured and why."""
    with suppress(AssertionError):
        exporter.wait_until(
            lambda: exporter.value("evaluations_total", model=name, outcome="success") == 1, f"{name}", timeout=240.0
        )
    reasons = {
        dict(labels)["reason"]: int(value)
        for (metric, labels), value in exporter.metrics().items()
        if metric == "starlight_images_not_measured" and ("model", name) in labels and value
    }
    measured = sum(exporter.total(f"{kind}_images", model=name) for kind in ("clean", "stego", "negative"))
    shown = ", ".join(reasons) or "no result"
    return f"{sum(reasons.values())} of {measured + sum(reasons.values()):.0f} ({shown})"


def _texts(page: str) -> list[str]:
    """Return the texts between the tags of a page."""
    return [html.unescape(" ".join(text.split())).lstrip(": ") for text in re.findall(r">([^<]+)<", page)]
