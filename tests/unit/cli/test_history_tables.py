"""`starlight history to-csv` and `to-parquet`: rows of stored evaluations, equal to `to_frame`."""

from __future__ import annotations

import io
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import starlight_exporter
from starlight_exporter.cli import main as starlight
from starlight_exporter.evaluation.serialisation import to_json
from starlight_exporter.publish import history_tables
from support.results import empty_evaluation
from support.snapshots import full_evaluation

ROOT = Path(__file__).resolve().parents[3]
OLD = ROOT / "tests" / "resources" / "stored" / "0.1.0" / "data" / "history.jsonl"


@pytest.fixture
def history(tmp_path: Path) -> Path:
    file = tmp_path / "data" / "history.jsonl"
    file.parent.mkdir()
    evaluations = (full_evaluation(), replace(empty_evaluation(), model="=formula"))
    file.write_text("".join(f"{to_json(one)}\n" for one in evaluations))
    return file


def test_csv_has_the_rows_of_the_frames(history: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pandas = pytest.importorskip("pandas")
    assert starlight.main(["history", "to-csv", "--history", str(history)]) == 0
    out = capsys.readouterr().out
    read = pandas.read_csv(io.StringIO(out), parse_dates=["finished_at"], dtype={"count": "Int64"})
    frames = [one.to_frame() for one in starlight_exporter.read_history(history)]
    expected = pandas.concat(frames, ignore_index=True)
    assert list(read.columns) == list(expected.columns)
    assert set(read["model"]) == {"production", "'=formula"}
    read["model"] = read["model"].str.removeprefix("'")
    pandas.testing.assert_frame_equal(read, expected, check_dtype=False, check_exact=True)


def test_parquet_has_the_rows_of_the_frames(history: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pandas = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    output = tmp_path / "results" / "history.parquet"
    assert starlight.main(["history", "to-parquet", "--history", str(history), "--output", str(output)]) == 0
    read = pandas.read_parquet(output)
    expected = pandas.concat((one.to_frame() for one in starlight_exporter.read_history(history)), ignore_index=True)
    pandas.testing.assert_frame_equal(read, expected, check_dtype=False, check_exact=True)
    assert str(read["finished_at"].dt.tz) == "UTC"
    assert capsys.readouterr().err == f"{output}: {len(expected)} rows\n"


def test_parts_do_not_change_the_tables(
    history: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    output = tmp_path / "history.csv"
    assert starlight.main(["history", "to-csv", "--history", str(history)]) == 0
    monkeypatch.setattr(history_tables, "_ROWS", 3)
    assert starlight.main(["history", "to-csv", "--history", str(history), "--output", str(output)]) == 0
    assert output.read_text() == capsys.readouterr().out


@pytest.mark.usefixtures("history")
def test_reads_the_history_of_the_configuration_and_of_version_0_1_0(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "starlight.yml"
    config.write_text(
        "models: [{name: a, file: a.onnx, role: production}]\ndatasets: [{name: d, path: d}]\npaths: {data: data}\n"
    )
    assert starlight.main(["history", "to-csv", "--config.file", str(config)]) == 0
    assert capsys.readouterr().out.count(f",{full_evaluation().id},") > 10
    assert starlight.main(["history", "to-csv", "--history", str(OLD)]) == 0
    assert "detection_rate,palette," in capsys.readouterr().out


@pytest.mark.parametrize("command", ["to-csv", "export"])
def test_damaged_records_are_reported_on_standard_error(
    command: str, history: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "starlight.yml"
    config.write_text(
        "models: [{name: a, file: a.onnx, role: production}]\ndatasets: [{name: d, path: d}]\npaths: {data: data}\n"
    )
    words = ["history", command, "--config.file", str(config)]
    assert starlight.main(words) == 0
    expected = capsys.readouterr().out
    history.write_text(f"damaged\n{history.read_text()}")
    assert starlight.main(words) == 0
    printed = capsys.readouterr()
    assert printed.out == expected
    assert printed.err.startswith('level=warning msg="damaged history record skipped" file=')


@pytest.mark.parametrize("command", ["to-csv", "to-parquet"])
def test_missing_history_is_one_error_and_nothing_is_written(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "table"
    words = ["history", command, "--history", str(tmp_path / "gone.jsonl"), "--output", str(output)]
    assert starlight.main(words) == 2
    assert capsys.readouterr().err == f"starlight history {command}: {tmp_path}/gone.jsonl: no such history\n"
    assert not output.exists()


@pytest.mark.parametrize("command", ["to-csv", "to-parquet"])
def test_file_without_evaluations_is_an_error(command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    wrong, output = tmp_path / "labels.csv", tmp_path / "table"
    wrong.write_text("path,class\na.png,clean\n")
    assert starlight.main(["history", command, "--history", str(wrong), "--output", str(output)]) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert (
        last
        == f"starlight history {command}: {wrong}: contains no evaluation; expected the history.jsonl of an exporter"
    )
    assert not output.exists()


def test_history_of_a_new_exporter_is_an_empty_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "history.jsonl").touch()
    assert starlight.main(["history", "to-csv", "--history", str(tmp_path / "history.jsonl")]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 1


def test_parquet_without_pyarrow_names_the_extra(
    history: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    output = tmp_path / "table.parquet"
    assert starlight.main(["history", "to-parquet", "--history", str(history), "--output", str(output)]) == 2
    assert "with the extra parquet" in capsys.readouterr().err
    assert not output.exists()
