"""Probe: decode and score a single file, to find out whether it ends or blocks a worker process."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

from starlight_exporter.activity import Activity
from starlight_exporter.dataset.labels import Labels
from starlight_exporter.detector.staged import FullModel
from starlight_exporter.errors import ImageError
from starlight_exporter.evaluation.inputs import load_detector
from starlight_exporter.evaluation.request import RunRequest
from starlight_exporter.evaluation.shard_job import ImageAccess


def probe(request: RunRequest, path: str, activity: Activity) -> None:
    """Decode one file, then load the model and score it. Raises ModelError; an error of the image is ignored."""
    images = replace(ImageAccess.of(request, None), cache=None, faults=()).start(activity)
    found = images.source.find(path)
    decoded = []
    for read in () if found is None else images.reader.files([replace(found, labels=Labels())]):
        with suppress(ImageError):
            decoded.append(images.decoder.decoded(read)[0])
    images.close()
    if not decoded:
        return
    with activity.during("load"):
        model = FullModel(load_detector(request))
    with activity.during("score", path):
        model.score(decoded)
