"""The public API: every function, the data frame, and the documented examples."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import starlight_exporter as starlight
from starlight_exporter.detector.contract import METHODS, STREAMS
from starlight_exporter.errors import ComparisonError, DependencyError, ModelError, StorageError
from starlight_exporter.evaluation.serialisation import to_json
from starlight_exporter.publish.history import History
from starlight_exporter.statistics.figures_of_merit import FIGURES
from support.models import write_random_model
from support.results import empty_evaluation
from support.snapshots import full_evaluation

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = ROOT / "docs" / "examples"
STORED = ROOT / "tests" / "resources" / "stored" / "0.1.0" / "data" / "history.jsonl"
RULE = starlight.DecisionRule.single(0.5)


@pytest.fixture
def other_model(tmp_path: Path) -> Path:
    return write_random_model(tmp_path / "other.onnx", seed=4, scale=40.0)


def run(*command: str | Path) -> str:
    done = subprocess.run([sys.executable, *command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_import_loads_neither_numpy_nor_onnxruntime() -> None:
    loaded = "; print(sorted({'numpy', 'onnxruntime', 'pydantic'} & set(sys.modules)))"
    assert run("-c", f"import sys, starlight_exporter{loaded}") == "[]\n"
    assert "onnxruntime" not in run("-c", f"import sys; from starlight_exporter import *{loaded}")


def test_every_public_name_exists() -> None:
    assert starlight.__all__ == sorted(starlight.__all__)
    for name in starlight.__all__:
        assert getattr(starlight, name).__doc__, name
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        starlight.nothing  # noqa: B018


@pytest.mark.slow
def test_evaluates_a_model(model_path: Path, dataset_root: Path) -> None:
    steps: list[tuple[int, int]] = []
    evaluation = starlight.evaluate(
        str(model_path),
        str(dataset_root),
        decision=RULE,
        latency_sample=5,
        threads=1,
        progress=lambda *step: steps.append(step),
    )
    assert isinstance(evaluation, starlight.Evaluation)
    assert (evaluation.images, evaluation.clean.total, evaluation.trigger) == (92, 40, "api")
    assert (evaluation.dataset, evaluation.provenance.decision) == (dataset_root.name, "probability > 0.5")
    assert evaluation.latency is not None
    assert steps[-1] == (97, 97)


def test_evaluate_raises_errors_of_the_package(tmp_path: Path, dataset_root: Path) -> None:
    with pytest.raises(ModelError, match=r"nowhere\.onnx"):
        starlight.evaluate(tmp_path / "nowhere.onnx", dataset_root)


@pytest.mark.slow
def test_compares_two_models(model_path: Path, other_model: Path, dataset_root: Path) -> None:
    comparison = starlight.compare(model_path, other_model, dataset_root, decision=RULE)
    assert comparison.slices["clean"].images == 40
    assert comparison.slices["stego"].fixed + comparison.slices["stego"].broken > 0
    with pytest.raises(ComparisonError, match="are the same model file"):
        starlight.compare(model_path, model_path, dataset_root, decision=RULE)


@pytest.mark.slow
def test_ablates_a_model(model_path: Path, dataset_root: Path) -> None:
    study = starlight.ablate(model_path, dataset_root, mode="shuffle", decision=RULE)
    assert study.ablation.mode == "shuffle"
    assert {effect.stream for effect in study.ablation.effects} == set(STREAMS)


def test_reads_a_history_of_version_0_1_0() -> None:
    evaluations = list(starlight.read_history(STORED))
    assert evaluations == list(History(STORED).evaluations())
    assert len(evaluations) > 1


def test_missing_history_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"history\.jsonl: no such history"):
        starlight.read_history(tmp_path / "history.jsonl")


def test_frame_has_one_row_per_metric_and_slice() -> None:
    pytest.importorskip("pandas")
    evaluation = full_evaluation()
    frame = evaluation.to_frame()
    rows = {(row["metric"], row["slice"]): row for row in frame.to_dict("records")}
    assert len(rows) == len(frame)
    assert set(rows) == {
        ("false_positive_rate", "all"),
        *(("false_positive_rate", name) for name in evaluation.clean_by_format),
        *(("negatives_false_positive_rate", name) for name in evaluation.negatives),
        ("detection_rate", "all"),
        ("detection_rate_by_embedding_rate", "lsb 0.01 to 0.02 bits per pixel"),
        ("detection_rate_by_embedding_rate", "lsb 0.1 to 0.2 bits per pixel"),
        ("detection_rate_by_embedding_rate", "eoi 1000 to 2000 bytes"),
        *(("detection_rate_by_size", name) for name in ("4096 to 16384", "65536 to 262144")),
        ("false_positive_rate_by_size", "4096 to 16384"),
        *(("detection_rate_by_reaches_crop", name) for name in ("false", "true")),
        *((f"{rate}_by_source", "camera") for rate in ("detection_rate", "false_positive_rate")),
        *(("detection_rate", method) for method in METHODS),
        *((figure, "all") for figure in FIGURES),
        ("embedding_probe_accuracy", "all"),
        *(("embedding_probe_recall", name) for name in ("alpha", "palette", "lsb", "exif", "clean")),
    }
    p_e = rows["p_e", "all"]
    assert (p_e["rate"], p_e["ci_low"], p_e["total"]) == (0.0125, 0.00625, 5_000)
    assert frame["count"].isna().sum() == len(FIGURES)
    clean = rows["false_positive_rate", "all"]
    assert (clean["count"], clean["total"]) == (evaluation.clean.count, evaluation.clean.total)
    assert (clean["rate"], clean["ci_low"], clean["ci_high"]) == (
        evaluation.clean.ratio,
        evaluation.clean.lower,
        evaluation.clean.upper,
    )
    assert set(frame["evaluation_id"]) == {evaluation.id}
    assert set(frame["model_sha256"]) == {evaluation.provenance.model_sha256}
    assert frame["finished_at"].iloc[0].timestamp() == evaluation.finished_at


def test_frame_has_nan_where_nothing_was_measured() -> None:
    pytest.importorskip("pandas")
    frame = empty_evaluation().to_frame()
    assert frame["total"].sum() == 0
    assert frame[["rate", "ci_low", "ci_high"]].isna().all(axis=None)


def test_frame_without_pandas_is_an_error_that_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(DependencyError, match=r"with the extra pandas"):
        full_evaluation().to_frame()


@pytest.mark.slow
def test_example_of_every_function(model_path: Path, other_model: Path, dataset_root: Path, tmp_path: Path) -> None:
    history = tmp_path / "history.jsonl"
    history.write_text(to_json(full_evaluation()) + "\n")
    output = run(EXAMPLES / "api.py", other_model, model_path, dataset_root, history)
    assert "false positive rate: " in output
    assert "clean: 40 images, " in output
    assert "p_e all: " in output
    assert "log loss increases by " in output
    assert " of 92 images are classified as stego by probability > 0.9\n" in output
    assert f"{full_evaluation().model} on {full_evaluation().dataset}: " in output


@pytest.mark.slow
def test_example_of_the_frame() -> None:
    pytest.importorskip("pandas")
    output = run(EXAMPLES / "frame.py", STORED)
    assert "palette" in output
