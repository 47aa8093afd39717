"""The inputs of a run: the model that is loaded, the files that are listed or scanned, and their provenance."""

from __future__ import annotations

from dataclasses import asdict

from starlight_exporter.activity import Activity
from starlight_exporter.dataset.dataset import ScannedDataset
from starlight_exporter.dataset.engine import Engine
from starlight_exporter.dataset.generator import generator_version
from starlight_exporter.dataset.layout import SCAN_THREADS, scan_listing
from starlight_exporter.dataset.listing import Listing, list_labelled, list_unlabelled
from starlight_exporter.dataset.sources.opening import open_source
from starlight_exporter.detector.model import Detector
from starlight_exporter.errors import ModelError
from starlight_exporter.evaluation.engines.opening import open_engine
from starlight_exporter.evaluation.request import RunRequest
from starlight_exporter.evaluation.results import Provenance
from starlight_exporter.evaluation.spec import current_spec
from starlight_exporter.models.cards import model_in


def list_dataset(request: RunRequest) -> Listing:
    """List the files of the dataset of a request. Raise DatasetError."""
    with open_source(request.dataset_root) as source:
        if request.unlabelled is not None:
            return list_unlabelled(source, request.unlabelled.window)
        return list_labelled(source)


def scan_dataset(request: RunRequest, activity: Activity) -> ScannedDataset:
    """Return the fingerprint of the dataset of a request. Raise DatasetError.

    The files that ended or blocked a process while they were read are not opened. Files that fail later are hashed, so
    that the fingerprint does not depend on the faults of a run.
    """
    with open_engine(request.engine, threads=SCAN_THREADS, activity=activity) as engine:
        return scan_listed(request, list_dataset(request), engine)


def scan_listed(request: RunRequest, listing: Listing, engine: Engine) -> ScannedDataset:
    """Return the fingerprint of the listed dataset of a request."""
    return scan_listing(
        listing,
        request.dataset_root,
        max_file_bytes=request.limits.max_file_bytes,
        image_seconds=request.limits.image_seconds,
        faults=request.faults,
        cache=request.cache,
        engine=engine,
    )


def load_detector(request: RunRequest) -> Detector:
    """Load the model of a request. Raise ModelError if it cannot be used."""
    try:
        return Detector.load(
            request.model_path,
            expected_sha256=request.expected_sha256,
            root=request.model_root,
            providers=request.providers,
        )
    except ModelError as error:
        raise _with_problem_of_card(error, request) from error


def _with_problem_of_card(error: ModelError, request: RunRequest) -> ModelError:
    """Add why the card of a research model without a file cannot be used: it may name another file."""
    if error.reason != "missing" or request.model_root is None:
        return error
    problem = model_in(request.model_path.parent).problem
    return error if problem is None else ModelError(f"{problem}; {error}", reason=error.reason)


def provenance(request: RunRequest, detector: Detector, fingerprint: str) -> Provenance:
    """Return the hashes, decision rule, versions and seed of a run."""
    spec = current_spec(
        model_sha256=detector.sha256,
        dataset_fingerprint=fingerprint,
        decision=request.decision.describe(),
        providers=detector.providers,
        dataset_generator=generator_version(request.dataset_root),
    )
    return Provenance(**asdict(spec), seed=request.seed)
