"""Subject, text mail, HTML mail and Slack message, rendered by Alertmanager's engine."""

from __future__ import annotations

import html as html_module
import re
import subprocess
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from support.servers import program

pytestmark = pytest.mark.usefixtures("release")

Notification = dict[str, Any]
Make = Callable[..., Notification]
Render = Callable[..., str]

EVIDENCE = "http://127.0.0.1:9877/evaluations/latest/misclassified?model=production&dataset=reference"
QUERY = "http://127.0.0.1:9090/graph?g0.expr=starlight_detection_ratio+%3C%3D+0.95&g0.tab=1"
VOID = {"meta", "br", "hr", "img", "link", "input"}
PHONE_WIDTH = 390


class Page(HTMLParser):
    """Parsed tags, visible text and links of an HTML page. Raises AssertionError for unclosed tags."""

    def __init__(self, source: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.links: list[tuple[str, str]] = []
        self.text = ""
        self._open: list[str] = []
        self._link = ""
        self.feed(source)
        self.close()
        assert not self._open, f"not closed: {self._open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)
        if tag == "a":
            self._link = dict(attrs).get("href") or ""

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open and self._open[-1] in {"style", "title"}:
            return
        if self._open and self._open[-1] == "a":
            self.links.append((data, self._link))
        self.text += data


def test_subject_has_severity_alert_and_model(render: Render, make_notification: Make) -> None:
    assert render("starlight.subject", make_notification(0)) == (
        "[CRITICAL] Detection Below Floor (lsb): production on reference"
    )


def test_subject_of_group_has_first_alert_and_count(render: Render, mixed: Notification) -> None:
    assert render("starlight.subject", mixed) == (
        "[CRITICAL] Detection Below Floor (lsb) and 1 more: production on reference"
    )


def test_subject_of_resolved_group(render: Render, make_notification: Make) -> None:
    assert (
        render("starlight.subject", make_notification(2)) == "[RESOLVED] Latency Above Limit: production on reference"
    )


@pytest.mark.parametrize(
    ("labels", "subject"),
    [
        ({"severity": "warning"}, "[WARNING] Detection Below Floor (lsb): production on reference"),
        ({"severity": "info", "method": None}, "[INFO] Detection Below Floor: production on reference"),
        ({"severity": None}, "[ALERT] Detection Below Floor (lsb): production on reference"),
        ({"format": "png", "reason": "x"}, "[CRITICAL] Detection Below Floor (lsb, png, x): production on reference"),
        ({"dataset": None}, "[CRITICAL] Detection Below Floor (lsb): production"),
        ({"model": None}, "[CRITICAL] Detection Below Floor (lsb): dataset reference"),
        (
            {"alertname": "StarlightExporterDown", "method": None, "model": None, "dataset": None},
            "[CRITICAL] Exporter Down: starlight-exporter 127.0.0.1:9877",
        ),
        (
            {"alertname": "StarlightExporterAbsent", "method": None, "model": None, "dataset": None, "instance": None},
            "[CRITICAL] Exporter Absent: starlight-exporter",
        ),
        (
            {"alertname": "FPRHigh", "method": None, "model": None, "dataset": None, "instance": None, "job": None},
            "[CRITICAL] FPRHigh: Starlight",
        ),
        ({"alertname": None, "method": None}, "[CRITICAL] Alert without a name: production on reference"),
        ({"model": "a <!channel>\r\nBcc: b@example.org"}, None),
    ],
)
def test_subject_with_missing_or_malicious_labels(
    render: Render, make_notification: Make, labels: dict[str, str | None], subject: str | None
) -> None:
    rendered = render("starlight.subject", make_notification(0, labels=labels))
    if subject is None:
        # One header line without Slack markup.
        assert not set(rendered) & set("<>&\r\n")
        assert rendered.endswith("a !channel Bcc: b@example.org on reference")
    else:
        assert rendered == subject


def test_text_mail(render: Render, mixed: Notification) -> None:
    assert render("starlight.mail.text", mixed) == (
        f"""\
CRITICAL: production on reference (2 firing, 1 resolved)

Detection Below Floor (lsb)
Since 24 Nov 2026, 03:33 UTC
Detection rate of one embedding method is 95% or lower (statistically significant).
production on reference: 165 of 400 lsb images detected, 41.25% (95% CI 36.38–46.25%). The check fails at 95% or \
less.
Evidence: {EVIDENCE}&method=lsb
Runbook: http://127.0.0.1:9877/runbooks/StarlightDetectionBelowFloor.md
Query: {QUERY}

False Positives Above Baseline
Since 24 Nov 2026, 03:33 UTC
False positive rate exceeds the baseline limit (statistically significant).
production on reference: 42 of 5,000 clean images classified as stego, 0.84% (95% CI 0.61–1.13%). The check fails \
above 1.1 × the baseline of 0.02%.
Evidence: {EVIDENCE}
Runbook: http://127.0.0.1:9877/runbooks/StarlightFalsePositivesAboveBaseline.md
Query: {QUERY}

No longer firing:

Latency Above Limit
24 Nov 2026, 03:33 to 03:45 UTC (12m3s)
Last value: production on reference: p95 latency is 6.10 ms (95% CI 5.80–6.40 ms, 1,000 images). The check fails at \
5 ms or more.
Evidence: {EVIDENCE}
Runbook: http://127.0.0.1:9877/runbooks/StarlightLatencyAboveLimit.md
Query: {QUERY}

-- 
Alertmanager: http://127.0.0.1:9093
"""  # noqa: W291 (the signature separator ends with a space)
    )


def test_text_mail_of_resolved_group(render: Render, make_notification: Make) -> None:
    text = render("starlight.mail.text", make_notification(2))
    assert text.startswith(
        "RESOLVED: production on reference (1 resolved)\n\nLatency Above Limit\n24 Nov 2026, 03:33 to"
    )
    assert "No longer firing" not in text
    assert "firing" not in text


def test_end_on_another_day_includes_date(render: Render, make_notification: Make) -> None:
    notification = make_notification(2)
    notification["alerts"][0]["endsAt"] = "2026-11-25T00:10:00Z"
    assert "24 Nov 2026, 03:33 to 25 Nov 2026, 00:10 UTC (20h36m50s)" in render("starlight.mail.text", notification)


@pytest.mark.parametrize("template", ["starlight.mail.text", "starlight.slack.text"])
def test_missing_annotations_are_omitted(render: Render, make_notification: Make, template: str) -> None:
    nothing = dict.fromkeys(("summary", "description", "evidence_url", "runbook_url"))
    notification = make_notification(0, annotations=nothing)
    notification["alerts"][0]["generatorURL"] = ""
    text = render(template, notification)
    assert "Detection Below Floor (lsb)" in text
    for absent in ("Evidence", "Runbook", "Query", "<no value>", "%!"):
        assert absent not in text


def test_html_mail_has_content_and_links(render: Render, mixed: Notification) -> None:
    page = Page(render("starlight.mail.html", mixed, html=True))
    assert page.links == [
        ("Evidence", f"{EVIDENCE}&method=lsb"),
        ("Runbook", "http://127.0.0.1:9877/runbooks/StarlightDetectionBelowFloor.md"),
        ("Query", QUERY),
        ("Evidence", EVIDENCE),
        ("Runbook", "http://127.0.0.1:9877/runbooks/StarlightFalsePositivesAboveBaseline.md"),
        ("Query", QUERY),
        ("Evidence", EVIDENCE),
        ("Runbook", "http://127.0.0.1:9877/runbooks/StarlightLatencyAboveLimit.md"),
        ("Query", QUERY),
        ("Alertmanager", "http://127.0.0.1:9093"),
    ]
    for text in (
        "CRITICAL · 2 firing, 1 resolved",
        "production on reference",
        "Detection Below Floor (lsb)",
        "Since 24 Nov 2026, 03:33 UTC",
        "165 of 400 lsb images detected, 41.25% (95% CI 36.38–46.25%).",
        "42 of 5,000 clean images classified as stego",
        "No longer firing",
        "Resolved. 24 Nov 2026, 03:33 to 03:45 UTC (12m3s)",
        "Last value: production on reference: p95 latency is 6.10 ms",
    ):
        assert text in page.text


def test_mail_preview_is_first_alert(render: Render, mixed: Notification) -> None:
    body = render("starlight.mail.html", mixed, html=True).partition("<body")[2].partition(">")[2]
    shown = " ".join(re.sub(r"<[^>]+>", " ", body).split())
    assert shown.startswith("production on reference: 165 of 400 lsb images detected")


def test_html_mail_has_no_external_resources_or_scripts(render: Render, mixed: Notification) -> None:
    source = render("starlight.mail.html", mixed, html=True)
    page = Page(source)
    assert not {tag for tag, _ in page.tags} & {"img", "link", "script", "iframe", "object", "form", "svg", "video"}
    assert not any(name in {"src", "background", "srcset"} for _, attributes in page.tags for name in attributes)
    assert not any(name.startswith("on") for _, attributes in page.tags for name in attributes)
    assert "url(" not in source
    assert "@import" not in source


def test_html_mail_escapes_labels_and_annotations(render: Render, make_notification: Make) -> None:
    attack = "<img src=x onerror=alert(1)>\"&'</style></td>"
    notification = make_notification(
        0,
        labels={"model": attack, "method": attack, "alertname": attack},
        annotations={"description": attack, "summary": attack, "evidence_url": "javascript:alert(1)"},
    )
    page = Page(render("starlight.mail.html", notification, html=True))
    assert "img" not in {tag for tag, _ in page.tags}
    assert attack in page.text
    assert ("Evidence", "javascript:alert(1)") not in page.links
    # Other URL schemes are displayed as text without a link.
    assert "Evidence: javascript:alert(1)" in page.text
    assert {link for link, _ in page.links} == {"Runbook", "Query", "Alertmanager"}


@pytest.mark.parametrize(
    ("index", "severity", "colour"),
    [(0, "critical", "#b3261e"), (0, "warning", "#8f5200"), (0, "info", "#1f5fa8"), (2, "critical", "#1e6b3a")],
)
def test_state_colour_in_mail_and_slack(
    render: Render, make_notification: Make, index: int, severity: str, colour: str
) -> None:
    notification = make_notification(index, labels={"severity": severity})
    assert render("starlight.slack.colour", notification) == colour
    source = render("starlight.mail.html", notification, html=True)
    assert f"background:{colour};border-radius:10px" in source
    assert f"border-left:6px solid {colour}" in source


@pytest.mark.parametrize("colour", ["#b3261e", "#8f5200", "#1f5fa8", "#1e6b3a", "#5f4b8b"])
def test_state_colours_have_sufficient_contrast(colour: str) -> None:
    """Contrast with white of at least 4.5 (WCAG 2.1, 1.4.3)."""
    channels = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in channels]
    luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
    assert 1.05 / (luminance + 0.05) >= 4.5


def test_slack_message(render: Render, make_notification: Make) -> None:
    assert render("starlight.slack.text", make_notification(0, 2)) == (
        f"""\
*Detection Below Floor (lsb)*
Since 24 Nov 2026, 03:33 UTC
Detection rate of one embedding method is 95% or lower (statistically significant).
production on reference: 165 of 400 lsb images detected, 41.25% (95% CI 36.38–46.25%). The check fails at 95% or \
less.
<{html_module.escape(EVIDENCE)}&amp;method=lsb|Evidence>   \
<http://127.0.0.1:9877/runbooks/StarlightDetectionBelowFloor.md|Runbook>   <{html_module.escape(QUERY)}|Query>

No longer firing:

*Latency Above Limit*
Resolved. 24 Nov 2026, 03:33 to 03:45 UTC (12m3s)
Last value: production on reference: p95 latency is 6.10 ms (95% CI 5.80–6.40 ms, 1,000 images). The check fails at \
5 ms or more.
<{html_module.escape(EVIDENCE)}|Evidence>   \
<http://127.0.0.1:9877/runbooks/StarlightLatencyAboveLimit.md|Runbook>   <{html_module.escape(QUERY)}|Query>

"""
    )


def test_slack_message_escapes_mentions(render: Render, make_notification: Make) -> None:
    call = "<!channel> & <http://example.org|click>"
    notification = make_notification(
        0,
        labels={"model": call, "method": call, "alertname": call},
        annotations={"description": call, "summary": call, "runbook_url": "http://example.org/|<!here>"},
    )
    text = render("starlight.slack.text", notification) + render("starlight.slack.title", notification)
    assert "<!" not in text
    assert "&lt;!channel&gt; &amp; &lt;http://example.org|click&gt;" in text
    # Only the links to evidence and query remain as markup.
    assert re.findall(r"<[^>]*\|(\w+)>", text) == ["Evidence", "Query"]


@pytest.mark.slow
@pytest.mark.parametrize("model", ["production", "a_model_name_without_a_line_break_" * 3])
def test_html_mail_fits_phone_width(render: Render, make_notification: Make, tmp_path: Path, model: str) -> None:
    notification = make_notification(0, 1, 2, labels={"model": model}, annotations={"description": f"{model} is bad"})
    mail = html_module.escape(render("starlight.mail.html", notification, html=True))
    page = tmp_path / "phone.html"
    # A browser window cannot be as narrow as a phone, but a frame can.
    page.write_text(
        f'<!doctype html><body><iframe id="phone" style="border:0;width:{PHONE_WIDTH}px;height:700px" srcdoc="{mail}">'
        "</iframe><script>addEventListener('load', () => {"
        "const inside = document.getElementById('phone').contentDocument;"
        "const small = [...inside.querySelectorAll('table.card a')].map(link => link.offsetHeight);"
        "document.title = [inside.documentElement.scrollWidth, Math.min(...small)].join(' '); })</script>"
    )
    done = subprocess.run(
        [
            program("chromium"),
            *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
            *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
            f"--user-data-dir={tmp_path / 'profile'}",
            "--virtual-time-budget=3000",
            "--dump-dom",
            page.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    title = re.search(r"<title>(\d+) (\d+)</title>", done.stdout)
    assert title, done.stdout[-500:]
    width, smallest_button = int(title[1]), int(title[2])
    assert width <= PHONE_WIDTH
    assert smallest_button >= 44
