"""Probe: decode and score a single file, to find out whether it ends or blocks a worker process."""

from __future__ import annotations

from starlight_exporter.activity import Activity
from starlight_exporter.dataset.dataset import LabelledFile
from starlight_exporter.detector.staged import FullModel
from starlight_exporter.errors import ImageError
from starlight_exporter.evaluation.image_source import ImageSource
from starlight_exporter.evaluation.request import RunRequest
from starlight_exporter.evaluation.run import load_detector
from starlight_exporter.file_access import read_content


def probe(request: RunRequest, path: str, activity: Activity) -> None:
    """Decode one file, then load the model and score it. Raises ModelError; an error of the image is ignored."""
    source = ImageSource(request.dataset_root, request.limits, activity=activity)
    with activity.during("scan", path):
        try:
            content = read_content(
                request.dataset_root / path, max_bytes=request.limits.max_file_bytes, root=request.dataset_root
            )
        except OSError:
            return
        file = LabelledFile(
            path=path,
            file_class="clean",
            method=None,
            category=None,
            image_format=None,
            size_bytes=len(content.data),
            sha256=content.sha256,
            problem=None,
        )
    try:
        image = source.image(file)
    except ImageError:
        return
    with activity.during("load"):
        model = FullModel(load_detector(request))
    with activity.during("score", path):
        model.score([image])
