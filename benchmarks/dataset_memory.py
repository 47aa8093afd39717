"""Memory of service and worker by number of images, measured on a running exporter, and simulated for more images.

    .venv/bin/python -m benchmarks.dataset_memory --images 1000 10000 100000 --simulated 1000000

Measured: the exporter evaluates the shipped model on a folder of hard links to `--contents` different images, so that
most of them come from the cache; then every page is requested once. Simulated: predictions are appended to the writer
as a worker does, and the statistics of a run are computed; another process stores them, compares them with those of a
baseline, and returns the pages. Private memory is without pages of mapped files, which the kernel can drop.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import httpx
import numpy as np

from benchmarks.evidence_pages import PAGES
from starlight_exporter.dataset.dataset import FileClass
from starlight_exporter.dataset.found_files import FoundFile
from starlight_exporter.detector.contract import METHODS, Method
from support.exporter import Exporter, write_config
from support.processes import PeakMemory

ROOT = Path(__file__).resolve().parents[1]

_SIMULATED = """
import json, resource, sys
from pathlib import Path
from benchmarks import dataset_memory
getattr(dataset_memory, sys.argv[1])(Path(sys.argv[2]), int(sys.argv[3]))
lines = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps({"resident": peak * 1024 / 1e6, "mapped": int(lines["RssFile"].split()[0]) * 1024 / 1e6}))
"""


def main() -> None:
    """Print one row per number of images."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, nargs="*", default=[1000, 10_000, 100_000])
    parser.add_argument("--simulated", type=int, nargs="*", default=[1_000_000])
    parser.add_argument("--contents", type=int, default=500)
    options = parser.parse_args()
    print("| images | service, private MB | worker, private MB | |\n|---|---:|---:|---|", flush=True)
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as folder:
        contents = Path(folder) / "contents"
        if options.images:
            _generate(contents, options.contents)
        for images in options.images:
            service, worker = _measured(Path(folder) / str(images), contents, images)
            print(f"| {images:,} | {service / 1e6:.0f} | {worker / 1e6:.0f} | measured |", flush=True)
        for images in options.simulated:
            _simulated("write_baseline", Path(folder), images)
            worker = _simulated("simulate_worker", Path(folder), images)
            service = _simulated("simulate_service", Path(folder), images)
            print(f"| {images:,} | {service:.0f} | {worker:.0f} | simulated |", flush=True)
    print(f"\n{os.cpu_count()} cores, load average {os.getloadavg()[0]:.1f} at the end")


def _generate(folder: Path, images: int) -> None:
    command = [str(Path(sys.executable).with_name("starlight")), "dataset", "make", "--out", str(folder)]
    counts = ["--clean", str(images // 2), "--stego", str(images // 2), "--negatives", "0", "--seed", "7"]
    subprocess.run([*command, *counts], check=True, stdout=subprocess.DEVNULL)


def _measured(folder: Path, contents: Path, images: int) -> tuple[float, float]:
    """Return the peaks of private bytes of service and worker."""
    (folder / "models").mkdir(parents=True)
    shutil.copy(ROOT / "models" / "v4" / "model.onnx", folder / "models" / "model.onnx")
    files = [path for path in sorted(contents.rglob("*")) if path.is_file() and path.suffix != ".json"]
    for number in range(images):
        source = files[number % len(files)]
        target = folder / "images" / source.relative_to(contents).parent / f"{number:07}-{source.name}"
        target.parent.mkdir(parents=True, exist_ok=True)
        for suffix in ("", ".json"):
            if (labels := source.with_name(source.name + suffix)).exists():
                os.link(labels, target.with_name(target.name + suffix))
    config = write_config(folder, latency={"sample": 0})
    with Exporter(config) as exporter, PeakMemory(exporter.process.pid) as peak:
        exporter.wait_until(
            lambda: exporter.value("evaluation_images_per_second", model="production", dataset="small") is not None,
            f"result on {images} images",
            timeout=3600,
        )
        latest = httpx.get(f"{exporter.url}/evaluations/latest?model=production&dataset=small").headers["location"]
        for _, path in PAGES:
            url = exporter.url + path.replace("/evaluations/now", latest)
            httpx.get(url, headers={"Accept": "text/html"}, timeout=60)
    shutil.rmtree(folder)
    return peak.service, peak.worker


def _simulated(function: str, folder: Path, images: int) -> float:
    """Call a function in a new process; return its peak of resident megabytes, without mapped files at the end."""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "exporter"), str(ROOT / "tests")])}
    command = [sys.executable, "-c", _SIMULATED, function, str(folder), str(images)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found["resident"] - found["mapped"]


def write_baseline(folder: Path, images: int) -> None:
    """Write the predictions that the newer ones are compared with."""
    from benchmarks.evidence_pages import predictions
    from starlight_exporter.evaluation.prediction_table import PredictionTable

    PredictionTable.write(folder / "before.sqlite", predictions(images, 1))


def simulate_worker(folder: Path, images: int) -> None:
    """List that many files, write their predictions, and compute the results of a run as `evaluation.run` does."""
    from benchmarks.evidence_pages import predictions
    from starlight_exporter.dataset.facts import FACTS, FactTable
    from starlight_exporter.dataset.found_files import FoundFilesBuilder
    from starlight_exporter.detector.contract import EMBEDDING_SIZE
    from starlight_exporter.detector.model import Detector
    from starlight_exporter.evaluation.embedding_table import EmbeddingTable, sampled_numbers
    from starlight_exporter.evaluation.image_statistics import image_statistics
    from starlight_exporter.evaluation.passes import Collected, sampled_statistics
    from starlight_exporter.evaluation.prediction_table import PredictionTable

    detector = Detector.load(ROOT / "models" / "v4" / "model.onnx")
    builder = FoundFilesBuilder(folder)
    for one in predictions(images, 2):
        builder.add(FoundFile(folder, one.path, one.file_class))
    files = builder.finish(ignored=0)
    files.number_of("clean/absent.png")
    sampled = sampled_numbers(files, seed=0)
    numbers = np.arange(images) if sampled is None else sampled
    random = np.random.default_rng(0)
    labels = tuple(_label(files[number]) for number in numbers.tolist())
    facts = FactTable(labels, ("png RGB",) * len(labels), random.random((len(labels), len(FACTS))), numbers)
    embeddings = EmbeddingTable(numbers, random.random((len(labels), EMBEDDING_SIZE), np.float32))
    collected = Collected(facts, embeddings, None)
    table = PredictionTable.write(folder / "now.sqlite", predictions(images, 2))
    assert len(files) == images
    assert detector.sha256
    # As in `evaluation.passes`: first listing and model, then facts and embeddings.
    del detector, builder, files
    sampled_results = sampled_statistics(table, collected, seed=0)
    del facts, embeddings, collected, labels
    statistics = image_statistics(table, np.zeros(0, np.uint64), ignored_files=0, labelled=True, seed=0)
    assert sampled_results.drift_sample is not None
    assert statistics.figures is not None


def _label(file: FoundFile) -> tuple[FileClass, Method | None]:
    return file.file_class, METHODS[file.number % len(METHODS)] if file.file_class == "stego" else None


def simulate_service(folder: Path, images: int) -> None:
    """Store two results, compare and check the newer one as the service does, and request every page once."""
    from starlight_exporter.analysis.comparison import compare
    from starlight_exporter.checks.basis import basis_against_model
    from starlight_exporter.checks.checks import run_checks
    from starlight_exporter.evaluation.prediction_table import PredictionTable
    from support.snapshots import FINISHED_AT, full_evaluation, full_snapshot, model_state, run_state
    from support.web import LocalServer, idle_application

    now = full_evaluation(evaluation_id="now")
    before = full_evaluation(evaluation_id="before", finished_at=FINISHED_AT - 900, model_sha256="a" * 64)
    snapshot = full_snapshot().with_model(model_state()).with_run("production", "reference", run_state(now))
    application = idle_application(folder, snapshot)
    evidence = application.evidence
    evidence.store(before, PredictionTable(folder / "before.sqlite"))
    new, old = PredictionTable(folder / "now.sqlite"), evidence.predictions(evidence.entries()[0])
    assert len(new) == len(old) == images
    compare(before, old, now, new, against="v3")
    run_checks(now, basis_against_model(now, new, before, old))
    evidence.store(now, new)
    with LocalServer(application) as server, httpx.Client(base_url=server.url, timeout=60.0, trust_env=False) as client:
        for _, path in PAGES:
            client.get(path, headers={"Accept": "text/html"}).raise_for_status()


if __name__ == "__main__":
    main()
