"""`starlight score`: formats of the output, images that are not measured, exit codes."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import pytest

from starlight_exporter.cli import main as starlight
from starlight_exporter.detector.contract import METHODS, STREAMS
from starlight_exporter.detector.decision import PRODUCTION
from starlight_exporter.detector.model import Detector
from starlight_exporter.detector.model_file import model_sha256
from starlight_exporter.publish.scores import SCORE_FORMATS
from support.images import image_bytes
from support.models import write_constant_model, write_random_model

pytestmark = pytest.mark.slow

HEADER = (
    "verdict       probability  method     pixel     meta    alpha      lsb  palette  palette_lsb   format  content"
    "  image"
)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_random_model(tmp_path / "random.onnx", scale=40.0)


@pytest.fixture
def images(tmp_path: Path) -> Path:
    root = tmp_path / "images"
    (root / "sub").mkdir(parents=True)
    (root / "a.png").write_bytes(image_bytes(1, size=(256, 256), mode="RGBA"))
    (root / "sub" / "b.gif").write_bytes(image_bytes(2, "gif", mode="P"))
    (root / "sub" / "broken.png").write_bytes(image_bytes(3)[:200])
    (root / "=1.png").write_bytes(image_bytes(4))
    (root / "notes.txt").write_text("ignored by name")
    return root


def score(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    code = starlight.main(["score", *map(str, words)])
    printed = capsys.readouterr()
    return code, printed.out, printed.err


def test_table_has_verdict_probability_method_and_streams(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, images: Path
) -> None:
    model = write_constant_model(tmp_path / "always.onnx", logit=3.0, method_logits=(0, 0, 9, 0, 0))
    code, out, err = score(capsys, images, "--model", model, "--decision", "0.9")
    header, *lines = out.splitlines()
    assert header == HEADER
    assert [line.split("  ")[-1] for line in lines] == [
        f"{images}/=1.png",
        f"{images}/a.png",
        f"{images}/sub/b.gif",
        f"{images}/sub/broken.png (unreadable: not decodable: image file is truncated)",
    ]
    assert lines[1].split()[:3] == ["stego", "0.9526", "lsb"]
    # An opaque alpha plane has no zeros; there is neither EXIF nor a palette.
    assert [lines[1].split()[3:][STREAMS.index(stream)] for stream in ("meta", "palette")] == ["0.00%", "0.00%"]
    assert lines[3].startswith("not measured            –  –")
    assert code == 2
    assert err.splitlines()[-1] == "starlight score: 4 images, probability > 0.9: 3 stego, 0 clean, 1 not measured"


def test_scores_are_those_of_the_model(capsys: pytest.CaptureFixture[str], model: Path, images: Path) -> None:
    code, out, _ = score(capsys, images / "a.png", images / "sub", "--model", model, "--format", "json")
    assert code == 2
    content = json.loads(out)
    assert (content["model"], content["model_sha256"]) == (str(model), model_sha256(model))
    assert (content["decision"], content["replaced_decision"]) == (PRODUCTION.describe(), None)
    assert content["streams"] == list(STREAMS)
    first, second, broken = content["images"]
    assert [one["path"] for one in content["images"]] == [
        f"{images}/a.png",
        f"{images}/sub/b.gif",
        f"{images}/sub/broken.png",
    ]
    for one in (first, second):
        assert one["predicted_method"] in METHODS
        assert one["verdict"] == (
            "stego" if PRODUCTION.verdict(one["probability"], one["predicted_method"]) else "clean"
        )
        assert one["nonzero"].keys() == set(STREAMS)
    assert first["nonzero"]["pixel"] > 0.9
    assert first["nonzero"]["palette"] == 0
    assert (first["format"], first["width"], first["height"]) == ("png", 256, 256)
    assert second["nonzero"]["palette"] > 0
    assert broken == {
        **dict.fromkeys(("verdict", "probability", "predicted_method", "width", "height", "nonzero")),
        "path": f"{images}/sub/broken.png",
        "not_measured": "unreadable",
        "detail": broken["detail"],
        "format": "png",
        "sha256": broken["sha256"],
    }


def test_csv_is_safe_in_a_spreadsheet(
    capsys: pytest.CaptureFixture[str], model: Path, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(images)
    code, out, _ = score(capsys, "=1.png", "a.png", "--model", model, "--format", "csv")
    assert code == 0
    first, second = csv.DictReader(out.splitlines())
    assert (first["path"], second["path"]) == ("'=1.png", "a.png")
    assert list(first) == [
        *("path", "verdict", "probability", "predicted_method", "not_measured", "detail", "format", "width", "height"),
        *("sha256", *(f"nonzero_{stream}" for stream in STREAMS)),
    ]
    assert 0 <= float(second["probability"]) <= 1


def test_model_without_methods_is_decided_by_one_threshold(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, images: Path
) -> None:
    model = write_random_model(tmp_path / "plain.onnx", streams=("pixel", "lsb"), method_output=False)
    code, out, err = score(capsys, images / "a.png", "--model", model, "--format", "json")
    content = json.loads(out)
    assert code == 0
    assert (content["decision"], content["replaced_decision"]) == ("probability > 0.5", PRODUCTION.describe())
    assert content["streams"] == ["pixel", "lsb"]
    assert content["images"][0]["predicted_method"] is None
    assert err.startswith(f"starlight score: {model}: predicts no method: decided by probability > 0.5, not by ")


def test_links_are_followed_if_named_and_within_a_folder(
    capsys: pytest.CaptureFixture[str], model: Path, images: Path, tmp_path: Path
) -> None:
    (images / "sub" / "link.png").symlink_to("../a.png")
    (tmp_path / "named.png").symlink_to(images / "a.png")
    code, out, _ = score(capsys, tmp_path / "named.png", images / "sub", "--model", model, "--format", "json")
    found = {Path(one["path"]).name: one for one in json.loads(out)["images"]}
    assert found["named.png"]["verdict"] is not None
    # a.png is outside of the given folder.
    assert found["link.png"]["detail"] == f"cannot be read: leads out of {images / 'sub'}"
    assert code == 2


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (("gone.png",), "gone.png: No such file or directory"),
        (("a.png", "gone"), "gone: No such file or directory"),
        (("empty",), "empty: no images"),
    ],
)
def test_missing_images_are_one_error_and_nothing_is_written(
    capsys: pytest.CaptureFixture[str], model: Path, images: Path, names: tuple[str, ...], message: str
) -> None:
    (images / "empty").mkdir()
    output = images.parent / "scores.csv"
    words = (*(images / name for name in names), "--model", model, "--format", "csv", "--output", output)
    code, out, err = score(capsys, *words)
    assert (code, out) == (2, "")
    assert err.splitlines()[-1].endswith(message)
    assert not output.exists()


def test_unusable_model_is_one_error(capsys: pytest.CaptureFixture[str], images: Path) -> None:
    code, out, err = score(capsys, images, "--model", images / "a.png")
    assert (code, out) == (2, "")
    assert err.startswith(f"starlight score: {images}/a.png: not a loadable ONNX model")
    assert len(err.splitlines()) == 1


def test_output_file_equals_standard_output(capsys: pytest.CaptureFixture[str], model: Path, images: Path) -> None:
    output = images.parent / "deep" / "scores.json"
    words = (images, "--model", model, "--format", "json")
    expected = score(capsys, *words)[1]
    assert score(capsys, *words, "--output", output)[:2] == (2, "")
    assert output.read_text() == expected


def test_chunks_do_not_change_the_scores(
    capsys: pytest.CaptureFixture[str], model: Path, images: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = (images, images / "a.png", "--model", model, "--format", "csv")
    expected = score(capsys, *words, "--threads", 1)[1]
    monkeypatch.setattr("starlight_exporter.evaluation.scoring.CHUNK", 2)
    assert score(capsys, *words, "--threads", 3)[1] == expected
    assert expected.count("\n") == 6


def test_closed_pipe_ends_the_command(model: Path, images: Path) -> None:
    words = f"{sys.executable} -m starlight_exporter.cli.main score {images}/a.png --model {model}"
    command = f"{words} | true; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert (done.returncode, "Traceback" in done.stderr) == (141, False)


def test_choices_are_the_formats(capsys: pytest.CaptureFixture[str], model: Path) -> None:
    code, _, err = score(capsys, "a.png", "--model", model, "--format", "xml")
    assert code == 2
    assert all(repr(name) in err or name in err for name in SCORE_FORMATS)


def test_public_function_returns_the_scores(model: Path, images: Path) -> None:
    import starlight_exporter

    scoring = starlight_exporter.score(model, images)
    assert (scoring.images, scoring.model_sha256) == (4, Detector.load(model).sha256)
    scores = list(scoring.scores)
    assert [one.not_measured for one in scores] == [None, None, None, "unreadable"]
    one = next(starlight_exporter.score(str(model), str(images / "a.png")).scores)
    assert one.probability == scores[1].probability
