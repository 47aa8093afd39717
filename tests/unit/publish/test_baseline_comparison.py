"""The comparison document and its script: missing classes, errors, and conclusions that follow from the tests."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from starlight_exporter.analysis.comparison import SLICES, Comparison, PairedSlice, flips
from starlight_exporter.analysis.stream_effects import AblationStudy
from starlight_exporter.detector.contract import Stream
from starlight_exporter.publish.documents.baseline_comparison import conclusion, document, insight
from starlight_exporter.publish.documents.markdown import table
from starlight_exporter.publish.documents.slice_tests import DatasetComparison, SliceTest, overall_conclusion
from starlight_exporter.statistics.figure_intervals import FigureDifference
from starlight_exporter.statistics.figures_of_merit import Figure
from starlight_exporter.statistics.hypothesis_tests import mcnemar_p_value
from starlight_exporter.statistics.intervals import Interval
from support.images import write_dataset
from support.models import write_constant_model, write_random_model
from support.scripts import run_script
from support.snapshots import ABLATION, full_evaluation

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("models")
    old = write_random_model(folder / "old" / "model.onnx", seed=3, scale=40.0, streams=("lsb", "format", "meta"))
    return old, write_random_model(folder / "new" / "model.onnx", seed=4, scale=40.0)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_dataset(tmp_path_factory.mktemp("data") / "small", clean=40, stego=40, negatives=12)


@pytest.mark.parametrize("missing", ["clean", "stego"])
def test_missing_class_is_not_measured(models: tuple[Path, Path], tmp_path: Path, missing: str) -> None:
    root = write_dataset(
        tmp_path / "part", clean=0 if missing == "clean" else 1, stego=0 if missing == "stego" else 1, negatives=0
    )
    output = tmp_path / "comparison.md"
    done = run_script(
        "compare_baselines.py",
        *("--baseline", models[0], "--candidate", models[1], "--dataset", root, "--latency-sample", "0"),
        *("--output", output, "--results", tmp_path / "results"),
    )
    assert done.returncode == 0, done.stderr
    row = "false positive rate" if missing == "clean" else "detection rate, all methods"
    assert f"| {row} | not measured | not measured | not measured |" in output.read_text()


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        (("--candidate-decision", "plain"), "the decision rules differ"),
        (("--candidate", "SAME"), "are the same model file"),
        (("--dataset", "/nowhere"), "/nowhere: no such dataset folder"),
        (("--candidate", "/nowhere.onnx"), "/nowhere.onnx: no such model file"),
    ],
)
def test_errors_are_one_line_and_write_no_file(
    models: tuple[Path, Path], dataset: Path, tmp_path: Path, changes: tuple[str, ...], text: str
) -> None:
    output, results = tmp_path / "comparison.md", tmp_path / "results"
    given: list[str | Path] = [models[0] if change == "SAME" else change for change in changes]
    done = run_script(
        "compare_baselines.py",
        *("--baseline", models[0], "--candidate", models[1], "--dataset", dataset, "--latency-sample", "0"),
        *("--output", output, "--results", results, *given),
    )
    assert done.returncode == 2
    (error,) = (line for line in done.stderr.splitlines() if line.startswith("compare_baselines: "))
    assert text in error
    assert "Traceback" not in done.stderr
    assert not output.exists()
    assert not results.exists()


def slice_of(name: str, fixed: int, broken: int) -> SliceTest:
    p = mcnemar_p_value(fixed, broken)
    return SliceTest("reference", name, PairedSlice(100, fixed, broken, p), p)


def test_conclusion_follows_from_significant_slices() -> None:
    better, worse, insignificant = slice_of("lsb", 20, 1), slice_of("clean", 0, 9), slice_of("alpha", 3, 2)
    assert overall_conclusion([better, insignificant]) == "better"
    assert overall_conclusion([worse, insignificant]) == "worse"
    assert overall_conclusion([better, worse]) == "mixed"
    assert overall_conclusion([insignificant, slice_of("eoi", 0, 0)]) == "not significant"
    assert conclusion([better, insignificant], "v3", "v4").startswith(
        "v4 is better than v3: significant improvement on lsb (reference)"
    )
    assert conclusion([insignificant], "v3", "v4") == "No difference on these images is statistically significant."
    assert "Mixed: significant improvement" in conclusion([better, worse], "v3", "v4")


def test_small_difference_is_not_rounded_to_zero() -> None:
    old = full_evaluation(model="v3", false_positives=3, clean_images=25_000)
    new = full_evaluation(model="v4", false_positives=4, clean_images=25_000)
    slices = {name: PairedSlice(25_000, 1, 2, 1.0) for name in SLICES}
    compared = Comparison(new.id, "v3", old.id, slices, not_comparable=0)
    text = document([DatasetComparison(old, new, compared, flips([], []), {})], None)
    lines = [line.removeprefix("| ").split(" | ") for line in text.splitlines()]
    rows = {cells[0]: cells[1:5] for cells in lines if len(cells) == 6}
    assert rows["false positive rate"][0].startswith("0.012%")
    assert rows["false positive rate"][1].startswith("0.016%")
    assert rows["false positive rate"][2:] == ["+0.004 pp", "worse"]
    assert rows["detection rate, all methods"][2] == "+0.00 pp"


def test_figures_have_paired_tests() -> None:
    old, new = full_evaluation(model="v3"), full_evaluation(model="v4")
    slices = {name: PairedSlice(0, 0, 0, None) for name in SLICES}
    compared = Comparison(new.id, "v3", old.id, slices, not_comparable=0)
    changes: dict[Figure, FigureDifference] = {
        "p_e": FigureDifference(-0.02, -0.03, -0.01, 0.002),
        "weighted_auc": FigureDifference(-0.01, -0.02, -0.001, 0.01),
        "missed_detection_at_5_percent_fpr": FigureDifference(0.0, p_value=1.0),
        "detection_at_0_1_percent_fpr": FigureDifference(None),
    }
    text = document([DatasetComparison(old, new, compared, flips([], []), changes)], None)
    rows = {cells[0]: cells[3:] for line in text.splitlines() for cells in [line.strip("| ").split(" | ")]}
    assert rows["reference, P_E"] == ["-2.00 pp (95% CI -3.00 to -1.00)", "0.002", "0.006", "better"]
    assert rows["reference, weighted AUC"] == ["-0.0100 (95% CI -0.0200 to -0.0010)", "0.010", "0.015", "worse"]
    assert rows["reference, missed detection at 5% FPR (MD5)"] == ["+0.00 pp", "1.000", "1.000", "no change"]
    assert rows["reference, detection at 0.1% FPR"] == ["not measured", "–", "–", "not measured"]
    assert "not measured: requires 2,000 clean images" in text


def ablated(*increases: Interval | None) -> AblationStudy:
    """Return a study with one stream per increase of the log loss, in this order."""
    (lsb, _) = ABLATION.ablation.effects
    names: tuple[Stream, ...] = ("lsb", "pixel", "meta")
    effects = tuple(replace(lsb, stream=names[place], log_loss_increase=one) for place, one in enumerate(increases))
    return replace(ABLATION, ablation=replace(ABLATION.ablation, effects=effects))


def test_most_important_stream_has_a_significant_effect() -> None:
    insignificant, decrease, single = Interval(0.02, -0.01, 0.05), Interval(-0.3, -0.4, -0.2), Interval(0.5, None, None)
    sentence = "Most important stream: `{}` (log loss increases by {} nats without it)."
    assert sentence.format("lsb", "0.400") in insight([], ablated(Interval(0.4, 0.35, 0.45), insignificant))
    # The largest increase is not significant, the next one is.
    assert sentence.format("pixel", "0.300") in insight([], ablated(Interval(0.5, -0.1, 1.1), Interval(0.3, 0.2, 0.4)))
    for study in (ablated(insignificant, decrease), ablated(decrease), ablated(single)):
        text = insight([], study)
        assert "Most important" not in text
        assert "No ablated stream increases the log loss significantly." in text
    assert "stream" not in insight([], ablated(None))
    assert "stream" not in insight([], None)


def test_table_cells_are_escaped() -> None:
    assert table(("a", "b"), [("x|y", "<b>")]) == "| a | b |\n| --- | ---: |\n| x\\|y | &lt;b> |"


def test_compares_model_with_constant_output(models: tuple[Path, Path], dataset: Path, tmp_path: Path) -> None:
    constant = write_constant_model(tmp_path / "constant.onnx", logit=-4.0)
    done = run_script(
        "compare_baselines.py",
        *("--baseline", constant, "--candidate", models[1], "--dataset", dataset, "--latency-sample", "0"),
        *("--output", tmp_path / "c.md", "--results", tmp_path / "results"),
    )
    assert done.returncode == 0, done.stderr
    assert "# Baseline comparison: constant and new" in (tmp_path / "c.md").read_text()
