"""`starlight report`: one file with the results and images of a stored evaluation."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from starlight_exporter.checks.checks import run_checks
from starlight_exporter.cli import main as starlight
from starlight_exporter.dataset.thumbnail_names import thumbnail_name
from starlight_exporter.publish.evidence import Evidence
from starlight_exporter.web.pages.report import SHOWN
from starlight_exporter.web.pages.standalone import without_links
from support.images import image_bytes
from support.results import make_prediction
from support.snapshots import FINISHED_AT, basis_of, example_prediction, full_evaluation, unlabelled_evaluation

MARKUP = "<script>alert(1)</script>&\"'"


@pytest.fixture
def config(tmp_path: Path) -> Path:
    file = tmp_path / "starlight.yml"
    file.write_text(
        "models: [{name: production, file: m.onnx, role: production}]\n"
        "datasets: [{name: reference, path: images, alerts: false}]\npaths: {data: data, results: results}\n"
    )
    return file


@pytest.fixture
def evidence(tmp_path: Path) -> Evidence:
    """Two evaluations: the newer one with more misclassified images than are shown, one of them with a thumbnail."""
    evidence = Evidence(tmp_path / "results")
    wrong = [example_prediction(f"clean/{number:03}.png", verdict=True) for number in range(SHOWN + 5)]
    named = replace(example_prediction(f"clean/{MARKUP.replace('/', '∕')}.png", verdict=True), probability=0.999)
    for name, predictions in (("older", wrong[:1]), ("newer", [*wrong, named, example_prediction("clean/right.png")])):
        evaluation = full_evaluation(evaluation_id=name)
        evidence.store(
            evaluation,
            predictions,
            checks=run_checks(evaluation, basis_of(evaluation)),
            thumbnails={thumbnail_name(named.path): image_bytes(1)},
        )
    return evidence


def written(config: Path, *words: str) -> str:
    file = config.parent / "out" / "report.html"
    assert starlight.main(["report", *words, "--html", str(file), "--config", str(config)]) == 0
    return file.read_text(encoding="utf-8")


class Elements(HTMLParser):
    """Counts elements, and collects what they refer to."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: dict[str, int] = {}
        self.references: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] = self.tags.get(tag, 0) + 1
        self.references += [value or "" for name, value in attrs if name in ("href", "src", "action", "srcset")]


@pytest.mark.usefixtures("evidence")
def test_report_has_all_results_and_requests_nothing(config: Path) -> None:
    text = written(config, "newer")
    elements = Elements(text)
    assert not {"a", "form", "script", "link", "input", "button"} & elements.tags.keys()
    (image,) = elements.references
    assert image.startswith("data:image/png;base64,iVBOR")
    assert "url(" not in text
    for heading in ("Checks", "Figures of merit", "Latency", "Confusion matrix by method", "Provenance"):
        assert re.search(rf"<h2[^>]*>{heading}</h2>", text), heading
    assert "<h2>Comparison</h2>" not in text
    assert "<svg" in text
    # Lower-case names would not be those of SVG outside of an HTML parser.
    assert "viewBox" in text
    assert "Failed checks on this dataset do not alert." in text


@pytest.mark.usefixtures("evidence")
def test_report_shows_the_most_confident_misclassified_images(config: Path) -> None:
    text = written(config, "newer")
    assert f"{SHOWN + 6} images, the {SHOWN} most confident verdicts are shown." in text
    assert text.count('<li class="card">') == SHOWN
    assert "clean/right.png" not in text
    assert "<script>" not in text
    assert "&lt;script&gt;alert(1)&lt;∕script&gt;" in text


@pytest.mark.usefixtures("evidence")
def test_latest_is_the_newest_of_model_and_dataset(config: Path) -> None:
    assert written(config, "latest") == written(config, "newer")
    assert written(config, "latest", "--model", "production", "--dataset", "reference") == written(config, "newer")
    assert written(config, "older") != written(config, "newer")


def test_report_of_unlabelled_images_shows_the_alarms(config: Path, evidence: Evidence) -> None:
    predictions = [make_prediction(f"{n}.png", "unlabelled", 0.9 if n < 3 else 0.1) for n in range(10)]
    evidence.store(replace(unlabelled_evaluation(), id="incoming", finished_at=FINISHED_AT + 60), predictions)
    text = written(config, "incoming")
    assert "<h2>Alarms</h2>" in text
    assert text.count('<li class="card">') == 3
    assert "Show images" not in text


@pytest.mark.usefixtures("evidence")
@pytest.mark.parametrize("words", [("gone",), ("latest", "--model", "other"), ("../newer",)])
def test_unknown_evaluation_is_one_error(
    config: Path, words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    file = config.parent / "report.html"
    assert starlight.main(["report", *words, "--html", str(file), "--config", str(config)]) == 2
    assert capsys.readouterr().err.endswith(f"no such evaluation is stored: {words[0]}\n")
    assert not file.exists()


def test_removes_links_forms_and_what_only_a_page_can_do() -> None:
    html = (
        '<p class="actions"><a href="/x">gone <br> too</a></p><p>See <a href="/y">this &amp; <b>that</b></a>&#8211;</p>'
        '<form><p>gone</p><input></form><section data-page-only><h2>gone</h2><img src="x"></section>'
        '<svg viewBox="0 0 1 1"><rect width="1"/><title>1 &lt; 2</title></svg><a data-page-only href="z">gone</a>'
    )
    assert without_links(html) == (
        '<p>See this &amp; <b>that</b>&#8211;</p><svg viewBox="0 0 1 1"><rect width="1"/><title>1 &lt; 2</title></svg>'
    )
