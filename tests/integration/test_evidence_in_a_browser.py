"""The pages of a real exporter in a browser without JavaScript, from an alert to one image."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import piexif
import pytest
import yaml
from PIL import Image

from support.browser import Browser
from support.exporter import Exporter, write_config
from support.images import image_bytes
from support.models import write_constant_model, write_random_model
from support.rules import link_of

pytestmark = pytest.mark.integration

REPOSITORY = Path(__file__).resolve().parents[2]
MARKUP = "<script>alert(1)<img src=x onerror=alert(2)>\"'&.jpg"
EXIF_TEXT = b"<script>document.title='owned'</script>"


def hostile_picture() -> bytes:
    """Return a JPEG with markup in its EXIF and after its end."""
    with Image.open(io.BytesIO(image_bytes(99, size=(80, 60))), formats=["PNG"]) as image:
        file = io.BytesIO()
        exif = piexif.dump({"Exif": {piexif.ExifIFD.UserComment: b"ASCII\0\0\0" + EXIF_TEXT}})
        image.convert("RGB").save(file, "JPEG", exif=exif)
    return file.getvalue() + b"<h1>tail</h1>" * 4


@pytest.fixture(scope="module")
def exporter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exporter]:
    """Start an exporter whose model is replaced by one that classifies every image as stego; a second model differs."""
    folder = tmp_path_factory.mktemp("evidence")
    config = write_config(folder, schedule={"interval": "1h"})
    other = write_random_model(folder / "models" / "other.onnx", seed=3, scale=40.0)
    content = yaml.safe_load(config.read_text())
    content["models"].append({"name": "other", "file": str(other), "role": "baseline"})
    config.write_text(yaml.safe_dump(content))
    (folder / "images" / "clean" / MARKUP).write_bytes(hostile_picture())
    with Exporter(config) as process:
        process.wait_for_value(1.0, "evaluations_total", model="production", outcome="success")
        process.wait_for_value(1.0, "evaluations_total", model="other", outcome="success")
        write_constant_model(folder / "new.onnx", logit=4.0).replace(folder / "models" / "model.onnx")
        process.wait_for_value(2.0, "evaluations_total", model="production", outcome="success")
        yield process


@pytest.fixture
def browser() -> Iterator[Browser]:
    with Browser() as opened:
        yield opened


def evidence_address(exporter: Exporter) -> str:
    """Return the link of the false positive alert, as Prometheus renders it."""
    rules = yaml.safe_load((REPOSITORY / "prometheus/rules/false_positives.yml").read_text())
    rule = rules["groups"][0]["rules"][0]
    filled = f"{exporter.url}/{link_of(rule['annotations']['evidence_url']).rest}"
    for template, value in (
        ("{{ $labels.model | urlquery }}", "production"),
        ("{{ $labels.dataset | urlquery }}", "small"),
    ):
        filled = filled.replace(template, value)
    assert "{{" not in filled
    return str(filled)


def test_from_an_alert_to_one_image(exporter: Exporter, browser: Browser) -> None:
    browser.open(evidence_address(exporter))
    assert "Misclassified images: production on small" in browser.text
    assert "Misclassified in this selection: 100.00%" in browser.text
    assert browser.count(".card") == 11
    assert browser.loaded_images(".card img") > 0

    browser.click("png", within=".filters")
    assert parse_qs(urlsplit(browser.address).query) == {"class": ["clean"], "format": ["png"]}
    assert browser.count(".card") == 2

    browser.click("broken", within=".filters")
    assert "Broken images: production on small" in browser.text
    assert browser.count(".card") == 2

    browser.click("production,", within=".lead")
    assert "Comparison: production on small" in browser.text
    assert "worse on all clean images" in browser.text
    assert "11 images fixed" not in browser.text

    browser.click("clean/clean-0002", within=".card")
    assert "Verdicts of all models" in browser.text
    assert browser.find("tr", "other baseline")
    assert browser.loaded_images(".streams img") >= 4
    assert browser.console_messages() == []


def test_markup_in_names_exif_and_tails_is_escaped(exporter: Exporter, browser: Browser) -> None:
    browser.open(f"{exporter.url}/evaluations/latest/misclassified?model=production&dataset=small&class=clean")
    assert f"clean/{MARKUP}" in browser.text
    browser.click(MARKUP, within=".card")
    assert browser.find("h1").text == f"clean/{MARKUP}"
    assert EXIF_TEXT.decode() in browser.find(".readable").text
    assert "<h1>tail</h1>" in browser.find(".readable").text
    assert browser.driver.title == f"clean/{MARKUP}"
    assert browser.count("script, h1 h1, img[src='x']") == 0
    assert browser.loaded_images(".streams img") >= 4
    assert browser.console_messages() == []
    assert browser.hosts() <= {exporter.url, "data:"}


def test_pages_are_usable_with_the_keyboard(exporter: Exporter, browser: Browser) -> None:
    browser.open(exporter.url)
    seen = [browser.tab() for _ in range(40)]
    assert seen[0] == "Skip to content"
    assert {"Status", "Evaluations", "Training", "misclassified images"} <= set(seen)


@pytest.mark.parametrize(("width", "dark"), [(1280, False), (1280, True), (390, False)])
def test_no_page_is_wider_than_its_window(exporter: Exporter, tmp_path: Path, width: int, dark: bool) -> None:
    latest = httpx.get(f"{exporter.url}/evaluations/latest?model=production&dataset=small").headers["Location"]
    with Browser(width=width, dark=dark) as browser:
        for path in (
            "/",
            "/evaluations",
            "/models",
            "/training",
            latest,
            f"{latest}/misclassified",
            f"{latest}/comparison",
            f"{latest}/embeddings",
            f"{latest}/images/0",
        ):
            browser.open(exporter.url + path)
            assert not browser.overflows_horizontally(), path
            browser.screenshot(tmp_path / f"{path.strip('/').replace('/', '-') or 'status'}.png")
            assert browser.console_messages() == [], path
        background = browser.find("body").value_of_css_property("background-color")
        assert background == ("rgba(17, 21, 28, 1)" if dark else "rgba(255, 255, 255, 1)")


def test_prevalence_and_comparison_forms(exporter: Exporter, browser: Browser) -> None:
    browser.open(f"{exporter.url}/evaluations/latest?model=production&dataset=small")
    field = browser.find("input[name=prevalence]")
    field.clear()
    field.send_keys("0.5")
    browser.click("Show")
    assert "prevalence=0.5" in browser.address
    assert "50.00%" in browser.find("section", "At deployment prevalence").text
    browser.click("Compare", within="form")
    assert "Paired comparison on the same images" in browser.text
