"""`starlight study`: one run on shipped models, and mistakes that are one line before anything is evaluated."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import pytest

import starlight_exporter as starlight
from starlight_exporter.cli.main import main
from starlight_exporter.publish.study_tables import pairs_csv, study_csv
from support.images import write_dataset
from support.models import write_constant_model, write_random_model
from support.run_cache import RunCache

ROOT = Path(__file__).resolve().parents[3]
V3, V4 = (ROOT / "models" / name / "model.onnx" for name in ("v3", "v4"))


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.slow
def test_study_of_shipped_models(run_cache: RunCache, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dataset = run_cache.small_synthetic(seed=31, clean=150, stego=150, negatives=25)
    words = ["study", "--model", str(V3), str(V4), "--dataset", str(dataset)]
    assert main([*words, "--out", str(tmp_path / "one")]) == 0
    assert [line.split("/")[-1] for line in capsys.readouterr().out.splitlines()] == [
        "study.csv",
        "pairs.csv",
        "study.md",
    ]
    assert main([*words, "--out", str(tmp_path / "two"), "--threads", "1"]) == 0
    one, two = ((tmp_path / name / "pairs.csv").read_bytes() for name in ("one", "two"))
    assert one == two
    tables = [[{**row, "evaluated_at": ""} for row in rows(tmp_path / name / "study.csv")] for name in ("one", "two")]
    assert tables[0] == tables[1]
    # v3 does not read the least significant bits of palettes.
    found = {(row["metric"], row["slice"]): row for row in rows(tmp_path / "one" / "pairs.csv")}
    palette = found["detection_rate", "palette"]
    assert (palette["first"], palette["second"], palette["conclusion"]) == ("v3", "v4", "distinguished")
    assert float(palette["ci_high"]) < 0
    assert found["detection_rate", "exif"]["conclusion"] == "not distinguished"
    for model, path in (("v3", V3), ("v4", V4)):
        evaluation = starlight.evaluate(path, dataset, latency_sample=0)
        table = {(row["metric"], row["slice"]): row for row in tables[0] if row["model"] == model}
        assert int(table["detection_rate", "palette"]["count"]) == evaluation.detections["palette"].count
        assert table["p_e", "all"]["model_sha256"] == evaluation.provenance.model_sha256
        assert evaluation.figures is not None
        assert float(table["p_e", "all"]["ci_low"]) == evaluation.figures.figures["p_e"].lower
    text = (tmp_path / "one" / "study.md").read_text()
    assert f"starlight study --model {V3} {V4} --dataset {dataset} --out {tmp_path / 'one'}" in text
    assert "| v3 – v4 | images | detection rate, palette | -" in text


@pytest.mark.slow
def test_api_returns_the_results_of_the_command(model_path: Path, dataset_root: Path, tmp_path: Path) -> None:
    other = write_random_model(tmp_path / "other.onnx", seed=4, scale=40.0)
    steps: list[tuple[int, int]] = []
    study = starlight.study(
        [model_path, other],
        [str(dataset_root)],
        decision=starlight.DecisionRule.single(),
        seed=3,
        progress=lambda *step: steps.append(step),
    )
    words = ["--model", str(model_path), "--model", str(other), "--dataset", str(dataset_root), "--decision", "plain"]
    assert main(["study", *words, "--seed", "3", "--out", str(tmp_path / "out")]) == 0
    assert (tmp_path / "out" / "pairs.csv").read_text() == pairs_csv(study)
    assert len((tmp_path / "out" / "study.csv").read_text().splitlines()) == len(study_csv(study).splitlines())
    assert steps[-1] == (1, 1)
    assert (92, 92) in steps


@pytest.mark.slow
def test_one_model_has_no_pairs(model_path: Path, dataset_root: Path, tmp_path: Path) -> None:
    words = ["--model", str(model_path), "--dataset", str(dataset_root), "--out", str(tmp_path)]
    assert main(["study", *words]) == 0
    assert rows(tmp_path / "pairs.csv") == []
    assert "requires 2 models" in (tmp_path / "study.md").read_text()


@pytest.mark.slow
def test_constant_scores_are_not_measured(model_path: Path, dataset_root: Path, tmp_path: Path) -> None:
    constant = write_constant_model(tmp_path / "constant.onnx", logit=0.0)
    words = ["--model", str(model_path), str(constant), "--dataset", str(dataset_root), "--out", str(tmp_path / "out")]
    assert main(["study", *words]) == 0
    p_e = {row["metric"]: row for row in rows(tmp_path / "out" / "pairs.csv")}["p_e"]
    assert (p_e["conclusion"], p_e["not_measured"], p_e["difference"]) == ("not measured", "constant_scores", "")


@pytest.mark.slow
def test_no_measured_image_exits_with_2(model_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dataset = write_dataset(tmp_path / "images", clean=2, stego=0, negatives=0)
    for file in (dataset / "clean").rglob("*.*"):
        file.write_bytes(b"no image")
    assert main(["study", "--model", str(model_path), "--dataset", str(dataset), "--out", str(tmp_path / "out")]) == 2
    assert "starlight study: no image could be measured\n" in capsys.readouterr().err
    assert {row["value"] for row in rows(tmp_path / "out" / "study.csv")} == {""}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the current folder, with models and datasets."""
    write_random_model(tmp_path / "a.onnx", seed=1)
    write_random_model(tmp_path / "b.onnx", seed=2)
    shutil.copy(tmp_path / "a.onnx", tmp_path / "copy.onnx")
    (tmp_path / "other").mkdir()
    write_random_model(tmp_path / "other" / "a.onnx", seed=3)
    for seed, name in enumerate(("images", "other/images")):
        write_dataset(tmp_path / name, clean=1, stego=1, negatives=0, seed=seed)
    shutil.copytree(tmp_path / "images", tmp_path / "twin")
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--model a.onnx none.onnx --dataset images", "none.onnx: no such model file"),
        ("--model a.onnx copy.onnx --dataset images", "a.onnx and copy.onnx are the same model file"),
        ("--model a.onnx a.onnx --dataset images", "a.onnx and a.onnx are the same model file"),
        (
            "--model a.onnx other/a.onnx --dataset images",
            "2 models are called a; put them into folders of different names",
        ),
        (
            "--model a.onnx b.onnx --dataset images other/images",
            "images and other/images are both called images; rename one of the folders",
        ),
        ("--model a.onnx b.onnx --dataset images ./images", "images: given twice"),
        ("--model a.onnx --dataset images twin", "images and twin have the same content"),
        (
            "--model a.onnx --dataset empty",
            "empty: has none of the folders clean (or cover), stego (or a method) and negatives, and no label manifest",
        ),
        ("--model a.onnx --dataset images none", "none: no such dataset folder"),
        ("--model a.onnx --dataset images --out file", "file/study.csv: cannot be written: Not a directory"),
        ("--model a.onnx file --dataset images", "file: not a loadable ONNX model: the file is empty"),
    ],
)
def test_mistake_is_one_line_before_the_evaluation(
    folder: Path, capsys: pytest.CaptureFixture[str], words: str, message: str
) -> None:
    assert main(["study", *words.split()]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    *progress, line = shown.err.splitlines()
    assert line == f"starlight study: {message}"
    assert not any("images" in step for step in progress)
    assert not list(folder.glob("results/study/*"))
