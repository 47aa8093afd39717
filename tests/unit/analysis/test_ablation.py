"""Ablation: changed inputs, effects equal to those of the full model on the same tensors, states of streams."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from starlight_exporter.analysis.ablation import ablate, streams_named
from starlight_exporter.analysis.ablation_study import ablation_study
from starlight_exporter.analysis.modes import ABLATION_MODES, AblationMode
from starlight_exporter.analysis.stream_effects import AblationStudy, StreamEffect
from starlight_exporter.dataset.engine import LocalEngine
from starlight_exporter.dataset.layout import scan
from starlight_exporter.dataset.listing import list_labelled
from starlight_exporter.dataset.sources.folder import FolderSource
from starlight_exporter.detector.contract import STREAMS, Stream
from starlight_exporter.detector.decision import PLAIN, DecisionRule
from starlight_exporter.detector.decoding import decode
from starlight_exporter.detector.model import Detector, Score
from starlight_exporter.detector.portable import PortableScorer
from starlight_exporter.detector.staged import FullModel
from starlight_exporter.detector.streams import tensors
from starlight_exporter.errors import EvaluationError
from starlight_exporter.evaluation.request import RunLimits, RunRequest
from starlight_exporter.evaluation.scorers import select_scorer
from starlight_exporter.evaluation.shard_job import ImageAccess
from support.images import compact_images, write_dataset
from support.models import write_random_model
from support.scripts import run_script
from support.staged import raise_staged_log_odds

pytestmark = pytest.mark.slow

MakeRequest = Callable[..., RunRequest]


def effect(result: AblationStudy, stream: Stream) -> StreamEffect:
    (found,) = (entry for entry in result.ablation.effects if entry.stream == stream)
    return found


def test_zero_mode_equals_full_model_on_zeroed_tensors(
    request_for: MakeRequest, model_path: Path, dataset_root: Path
) -> None:
    result = ablation_study(request_for())
    detector = Detector.load(model_path)
    files = scan("generated", dataset_root).files
    decoded = [tensors(decode((dataset_root / file.path).read_bytes())) for file in files]
    for stream in STREAMS:
        found = effect(result, stream)
        changed = sum(bool(streams[stream].any()) for streams in decoded)
        assert (found.changed.count, found.changed.total) == (changed, len(files))
        assert found.state == ("measured" if changed else "not measurable")
        if not changed:
            continue
        wrong = detected = 0
        for file, streams in zip(files, decoded, strict=True):
            (score,) = detector.predict(({**streams, stream: np.zeros_like(streams[stream])},))
            verdict = PLAIN.verdict(score.probability, score.predicted)
            wrong += file.file_class == "clean" and verdict
            detected += file.file_class == "stego" and verdict
        assert found.clean is not None
        assert found.stego is not None
        assert (found.clean.count, found.stego.count) == (wrong, detected)
        assert found.slices["clean"].images == found.clean.total


@pytest.mark.parametrize("mode", ABLATION_MODES)
def test_result_does_not_depend_on_the_number_of_threads(request_for: MakeRequest, mode: AblationMode) -> None:
    one = ablation_study(request_for(threads=1), mode=mode).ablation
    assert one == ablation_study(request_for(threads=2), mode=mode).ablation
    assert all(entry.changed.count for entry in one.effects if entry.state == "measured")


def test_shuffle_mode_uses_streams_of_other_images(request_for: MakeRequest) -> None:
    zero = effect(ablation_study(request_for(), mode="zero"), "format")
    shuffled = effect(ablation_study(request_for(), mode="shuffle"), "format")
    assert 0 < shuffled.changed.count <= zero.changed.count
    assert shuffled.log_loss != zero.log_loss


def test_stream_of_zeros_is_not_measurable(request_for: MakeRequest, tmp_path: Path) -> None:
    root = write_dataset(tmp_path / "set", clean=12, stego=12, negatives=0)
    for file in scan("set", root).files:
        # Keep images without alpha and palette.
        decoded = decode((root / file.path).read_bytes())
        if decoded.mode != "RGB":
            (root / file.path).unlink()
    result = ablation_study(request_for(dataset_root=root, dataset="set"))
    for stream in ("alpha", "palette", "palette_lsb"):
        found = effect(result, stream)
        assert found.state == "not measurable"
        assert found.changed.count == 0
        assert found.clean is None
        assert found.log_loss_increase is None
    assert result.ablation.effects[0].state == "measured"


def test_streams_that_are_no_inputs_are_absent(request_for: MakeRequest, tmp_path: Path) -> None:
    model = write_random_model(tmp_path / "older.onnx", streams=("meta", "lsb"))
    result = ablation_study(request_for(model_path=model))
    states = {entry.stream: entry.state for entry in result.ablation.effects}
    assert {stream for stream, state in states.items() if state == "absent"} == set(STREAMS) - {"meta", "lsb"}
    assert states["lsb"] == "measured"


def test_effects_are_sorted_by_importance(request_for: MakeRequest) -> None:
    increases = [
        entry.log_loss_increase.value
        for entry in ablation_study(request_for()).ablation.effects
        if entry.log_loss_increase is not None
    ]
    assert increases == sorted(increases, reverse=True)
    assert len(increases) >= 5


def test_importance_is_the_difference_of_the_log_losses(request_for: MakeRequest) -> None:
    ablation = ablation_study(request_for()).ablation
    assert ablation.log_loss is not None
    for entry in ablation.effects:
        if entry.state != "measured":
            continue
        assert entry.log_loss is not None
        assert entry.log_loss_increase is not None
        assert entry.log_loss_increase.value == pytest.approx(entry.log_loss - ablation.log_loss, abs=1e-12)


@pytest.mark.parametrize("index", [0, 20, 45])
def test_verdicts_at_a_threshold_are_those_of_the_full_model(
    index: int, request_for: MakeRequest, model_path: Path, dataset_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    detector = Detector.load(model_path)
    full = FullModel(detector)
    (score,) = full.score([compact_images(dataset_root)[index].without("content")])
    assert isinstance(score, Score)
    # With the raised log-odds, the staged probability is above the threshold, and the full model's is not.
    rule = DecisionRule.single(score.probability)
    raise_staged_log_odds(monkeypatch)
    access, listing = ImageAccess(root=dataset_root, limits=RunLimits()), list_labelled(FolderSource(dataset_root))
    selected = select_scorer(detector, rule, access, listing, seed=0)
    assert selected.full_model_reason is None
    ours = ablation_study(request_for(decision=rule)).ablation
    theirs = ablate(PortableScorer(detector, full, rule), access, rule, listing, LocalEngine(2))
    assert (ours.clean, ours.stego, ours.detections) == (theirs.clean, theirs.stego, theirs.detections)
    expected = {entry.stream: entry for entry in theirs.effects}
    for entry in ours.effects:
        other = expected[entry.stream]
        assert (entry.clean, entry.stego, entry.slices) == (other.clean, other.stego, other.slices)


def test_unreadable_files_are_not_measured(request_for: MakeRequest, tmp_path: Path) -> None:
    root = write_dataset(tmp_path / "set", clean=6, stego=6, negatives=0)
    (root / "clean" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n broken")
    result = ablation_study(request_for(dataset_root=root, dataset="set")).ablation
    assert (result.images, result.not_measured) == (12, 1)
    assert result.clean.total == 6


def test_single_image_cannot_be_shuffled(request_for: MakeRequest, tmp_path: Path) -> None:
    root = write_dataset(tmp_path / "set", clean=1, stego=0, negatives=0)
    result = ablation_study(request_for(dataset_root=root, dataset="set"), mode="shuffle").ablation
    assert {entry.state for entry in result.effects} == {"not measurable"}
    zero = ablation_study(request_for(dataset_root=root, dataset="set")).ablation
    (any_measured, *_) = zero.effects
    assert any_measured.stego is not None
    assert any_measured.stego.ratio is None


def test_dataset_without_measurable_image_is_an_error(request_for: MakeRequest, tmp_path: Path) -> None:
    (tmp_path / "clean").mkdir()
    (tmp_path / "clean" / "a.png").write_bytes(b"nothing")
    with pytest.raises(EvaluationError, match="small on set: no image could be measured"):
        ablation_study(request_for(dataset_root=tmp_path, dataset="set"))


def test_error_names_unknown_stream() -> None:
    with pytest.raises(EvaluationError, match="unknown stream pixels; expected one or more of pixel, meta"):
        streams_named(["pixel", "pixels"])
    assert streams_named([]) == STREAMS
    assert streams_named(["lsb", "pixel"]) == ("pixel", "lsb")


def test_script_writes_json_and_document(model_path: Path, dataset_root: Path, tmp_path: Path) -> None:
    output, document = tmp_path / "ablation.json", tmp_path / "ablation.md"
    given = ("--model", model_path, "--dataset", dataset_root, "--decision", "plain")
    done = run_script("ablation_study.py", *given, "--output", output, "--document", document)
    assert done.returncode == 0, done.stderr
    written = json.loads(output.read_text())
    assert {entry["stream"] for entry in written["ablation"]["effects"]} == set(STREAMS)
    assert written["provenance"]["model_sha256"] == Detector.load(model_path).sha256
    assert "(full model)" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "text"),
    [(("--stream", "colour"), "unknown stream colour"), (("--dataset", "/nowhere"), "/nowhere")],
)
def test_script_reports_errors_in_one_line_with_exit_code_2(
    model_path: Path, dataset_root: Path, arguments: tuple[str, ...], text: str
) -> None:
    done = run_script("ablation_study.py", "--model", model_path, "--dataset", dataset_root, *arguments)
    assert done.returncode == 2
    (line,) = (one for one in done.stderr.splitlines() if not one.startswith("ablating"))
    assert line.startswith("ablation_study: ")
    assert text in line
