"""From an alert to the images behind it, in a real browser without JavaScript, on a real exporter's results."""

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

pytestmark = pytest.mark.integration

REPOSITORY = Path(__file__).resolve().parents[2]
MARKUP = "<script>alert(1)<img src=x onerror=alert(2)>\"'&.jpg"
EXIF_TEXT = b"<script>document.title='owned'</script>"


def hostile_picture() -> bytes:
    """A JPEG with markup in its EXIF, and behind its end."""
    with Image.open(io.BytesIO(image_bytes(99, size=(80, 60))), formats=["PNG"]) as image:
        file = io.BytesIO()
        exif = piexif.dump({"Exif": {piexif.ExifIFD.UserComment: b"ASCII\0\0\0" + EXIF_TEXT}})
        image.convert("RGB").save(file, "JPEG", exif=exif)
    return file.getvalue() + b"<h1>tail</h1>" * 4


@pytest.fixture(scope="module")
def exporter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Exporter]:
    """A quiet model is replaced by one that calls everything stego; another model has verdicts of its own."""
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
    """The link of the alert on false positives, as Prometheus fills in the rule's template."""
    rules = yaml.safe_load((REPOSITORY / "prometheus/rules/false_positives.yml").read_text())
    rule = rules["groups"][0]["rules"][0]
    filled = rule["annotations"]["evidence_url"]
    for template, value in (
        ("{{ $externalLabels.exporter_url }}", exporter.url),
        ("{{ $labels.model | urlquery }}", "production"),
        ("{{ $labels.dataset | urlquery }}", "drawn"),
    ):
        filled = filled.replace(template, value)
    assert "{{" not in filled
    return str(filled)


def test_from_an_alert_to_one_image(exporter: Exporter, browser: Browser) -> None:
    browser.open(evidence_address(exporter))
    assert "What production gets wrong on drawn" in browser.text
    assert "Wrong in this selection: 100.00%" in browser.text
    assert browser.count(".card") == 11
    assert browser.loaded_pictures(".card img") > 0

    browser.click("png", within=".filters")
    assert parse_qs(urlsplit(browser.address).query) == {"class": ["clean"], "format": ["png"]}
    assert browser.count(".card") == 2

    browser.click("broken since", within=".filters")
    assert "Wrong now, right before" in browser.text
    assert browser.count(".card") == 2

    browser.click("production,", within=".lead")
    assert "What changed: production on drawn" in browser.text
    assert "worse on all clean images" in browser.text
    assert "11 images fixed" not in browser.text

    browser.click("clean/clean-0002", within=".card")
    assert "What every configured model says" in browser.text
    assert browser.find("tr", "other baseline")
    assert browser.loaded_pictures(".streams img") >= 4
    assert browser.complaints() == []


def test_markup_in_names_exif_and_tails_is_text(exporter: Exporter, browser: Browser) -> None:
    browser.open(f"{exporter.url}/evaluations/latest/misclassified?model=production&dataset=drawn&class=clean")
    assert f"clean/{MARKUP}" in browser.text
    browser.click(MARKUP, within=".card")
    assert browser.find("h1").text == f"clean/{MARKUP}"
    assert EXIF_TEXT.decode() in browser.find(".readable").text
    assert "<h1>tail</h1>" in browser.find(".readable").text
    assert browser.driver.title == f"clean/{MARKUP}"
    assert browser.count("script, h1 h1, img[src='x']") == 0
    assert browser.loaded_pictures(".streams img") >= 4
    assert browser.complaints() == []
    assert browser.hosts() <= {exporter.url, "data:"}


def test_everything_is_reached_by_keyboard_alone(exporter: Exporter, browser: Browser) -> None:
    browser.open(exporter.url)
    seen = [browser.tab() for _ in range(40)]
    assert seen[0] == "Skip to content"
    assert {"Status", "Evaluations", "Training", "what it gets wrong"} <= set(seen)


@pytest.mark.parametrize(("width", "dark"), [(1280, False), (1280, True), (390, False)])
def test_no_page_is_wider_than_its_window(exporter: Exporter, tmp_path: Path, width: int, dark: bool) -> None:
    latest = httpx.get(f"{exporter.url}/evaluations/latest?model=production&dataset=drawn").headers["Location"]
    with Browser(width=width, dark=dark) as browser:
        for path in (
            "/",
            "/evaluations",
            "/training",
            latest,
            f"{latest}/misclassified",
            f"{latest}/comparison",
            f"{latest}/images/0",
        ):
            browser.open(exporter.url + path)
            assert not browser.wider_than_the_window(), path
            browser.screenshot(tmp_path / f"{path.strip('/').replace('/', '-') or 'status'}.png")
            assert browser.complaints() == [], path
        background = browser.find("body").value_of_css_property("background-color")
        assert background == ("rgba(17, 21, 28, 1)" if dark else "rgba(255, 255, 255, 1)")


def test_the_reader_sets_the_base_rate_and_what_to_compare_with(exporter: Exporter, browser: Browser) -> None:
    browser.open(f"{exporter.url}/evaluations/latest?model=production&dataset=drawn")
    field = browser.find("input[name=prevalence]")
    field.clear()
    field.send_keys("0.5")
    browser.click("Show")
    assert "prevalence=0.5" in browser.address
    assert "50.00%" in browser.find("section", "In the field").text
    browser.click("Compare", within="form")
    assert "Paired on the same images" in browser.text
